"""The wheel, the source archive and the declared versions."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from shared_tests.suites.structure.test_structure import LAYERS, ROOT, is_shipped, sources

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WHEEL_LIMIT = 1_500_000  # bytes; 0.7 MB of them is the recorded network of `danet demo`
DATA = {
    "danet_cli/templates/page.html",
    "shared_tests/fixtures/recorded/official_r50_plain_mg.npz",
    *(f"danet_common/config/class_sets/{name}.csv" for name in ("ade20k", "camvid", "cityscapes", "coco_stuff")),
}
NOT_SOURCES = {".git", "PKG-INFO", "setup.cfg"}  # the second and third are made by building


def test_the_lowest_versions_are_the_declared_ones() -> None:
    extras = PROJECT["optional-dependencies"].values()
    texts = [text for texts in (PROJECT["dependencies"], *extras) for text in texts]
    declared: dict[str, Version] = {}
    for requirement in map(Requirement, texts):
        if requirement.name != PROJECT["name"]:
            (lowest,) = (Version(each.version) for each in requirement.specifier if each.operator == ">=")
            assert declared.setdefault(requirement.name.lower(), lowest) == lowest, requirement
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {name.lower(): Version(version) for name, version in pinned.items()} == declared


@pytest.fixture(scope="module")
def source_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source archive, from a copy, as building writes beside pyproject.toml."""
    copy = tmp_path_factory.mktemp("copy") / "danet"
    folders = (*LAYERS, ".ci", ".github", "benchmarks", "docs")
    for folder in folders:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in filter(Path.is_file, ROOT.iterdir()):
        shutil.copy(path, copy)
    return build("sdist", copy)


@pytest.fixture(scope="module")
def unpacked(source_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(source_archive) as archive:
        archive.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def build(kind: str, source: Path) -> Path:
    """Call the build backend as installers do, and return the file that it writes."""
    out = source.parent / kind
    out.mkdir()
    program = f"import sys; from setuptools.build_meta import build_{kind} as build; build(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, out], cwd=source, check=True, capture_output=True)
    (path,) = out.iterdir()
    return path


def test_the_source_archive_has_every_file(unpacked: Path) -> None:
    """All files of a clone: the tests pass in the unpacked archive."""
    tops = [ROOT / name for name in (*LAYERS, ".ci", ".github", "benchmarks", "docs")]
    ours = {path for top in tops for path in top.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    ours |= {path for path in ROOT.iterdir() if path.is_file() and path.name not in NOT_SOURCES}
    assert {str(path.relative_to(ROOT)) for path in ours} <= {
        str(path.relative_to(unpacked)) for path in unpacked.rglob("*")
    }


def test_the_wheel_has_the_product_alone(unpacked: Path) -> None:
    """Built from the source archive: all modules that commands use, `py.typed` in each package, and no test."""
    wheel = build("wheel", unpacked)
    assert wheel.stat().st_size < WHEEL_LIMIT
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT).as_posix() for path in sources(*LAYERS) if is_shipped(path)}
    assert names == modules | DATA | {f"{package}/py.typed" for package in LAYERS}
