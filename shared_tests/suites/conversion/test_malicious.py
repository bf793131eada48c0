"""Malicious and broken files: each ends in one clear error, within bounds, with nothing run, written or left behind."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import Checkpoint, CheckpointError
from shared_tests.malicious import (
    archives,
    hdf5_files,
    json_texts,
    msgpack_files,
    npz_files,
    orbax_directories,
    pickles,
    safetensors_headers,
    special_files,
    torch_tensors,
    truncations,
)
from shared_tests.malicious.case import Case
from shared_tests.malicious.seeds import checkpoint
from weights_convert.containers.source_file import SourceFile
from weights_convert.formats import reader_for

pytest.importorskip("h5py")
pytest.importorskip("tensorstore")

SECONDS = 5  # of the processor, for one file
PATIENCE = 60  # seconds until a process that does not answer is taken to hang
ROOM, FACTOR = 64 << 20, 100  # memory: so many bytes, and so many for each byte of the file
OLD = b"what was there before"

# Family -> how to make its files, and how many there are at least.
FAMILIES: dict[str, tuple[Callable[[], Iterator[Case]], int]] = {
    "pickles": (pickles.cases, 500),
    "torch tensors": (torch_tensors.cases, 30),
    "zip archives": (archives.cases, 160),
    "safetensors": (safetensors_headers.cases, 60),
    "npz": (npz_files.cases, 100),
    "hdf5": (hdf5_files.cases, 150),
    "msgpack": (msgpack_files.cases, 60),
    "orbax": (orbax_directories.cases, 50),
    "texts": (json_texts.cases, 280),
    "truncations": (truncations.cases, 700),
    "special_files": (special_files.cases, 170),
}


class Sandbox:
    """The process that converts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, 0
        self.start()

    def start(self) -> None:
        """Start the process, with seeds of its own to read first."""
        self.started += 1
        command = [sys.executable, "-m", "shared_tests.malicious.sandbox", f"{self.folder} {self.started}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.answer()["outcome"] == "ready"

    def convert(self, source: Path, destination: Path) -> dict[str, Any]:
        """Return the result of one file."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([str(source), str(destination)]) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next reply; a process that hangs or has died answers for itself."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.process.kill()
            return {"outcome": "hung" if not ready else f"died with {self.process.wait()}"}
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A process for all families."""
    process = Sandbox(tmp_path_factory.mktemp("seeds") / "sandbox")
    yield process
    process.close()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files if os.path.lexists(file))


def faults_of(source: Path, reply: dict[str, Any]) -> list[str]:
    """Whatever is wrong with how a file ended."""
    if reply["outcome"] != "refused":
        return [reply["outcome"], reply.get("message", "")]
    first = reply["message"].partition("\n")[0]
    errors = [f"unclear: {first[:300]}"] * (
        not first.startswith(str(source)) or not first.isprintable() or len(first) > 1200
    )
    errors += [f"{reply['seconds']:.1f} s"] * (reply["seconds"] > SECONDS)
    errors += [f"{reply['bytes'] >> 20} MiB"] * (reply["bytes"] > ROOM + FACTOR * size_of(source))
    return errors + reply["events"] + ["the canary was touched"] * reply["canary"]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"{FAMILIES[family][1]} {family} or more")
def test_hostile_files(
    family: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[..., None]
) -> None:
    make, least = FAMILIES[family]
    cases = list(make())
    record_property("files", len(cases))
    assert len(cases) >= least
    assert len({case.name for case in cases}) == len(cases)
    errors = {}
    for index, case in enumerate(cases):
        folder, target = tmp_path / str(index), tmp_path / "target"
        folder.mkdir()
        target.mkdir(exist_ok=True)
        monkeypatch.chdir(target)
        (target / "old.safetensors").write_bytes(OLD)
        source = case.build(folder)
        before = sorted(folder.rglob("*"))
        reply = sandbox.convert(source, target / "old.safetensors")
        actual = faults_of(source, reply)
        actual += ["something was left"] * (sorted(folder.rglob("*")) != before)
        actual += ["something was written"] * ([file.name for file in target.iterdir()] != ["old.safetensors"])
        actual += ["the old file is gone"] * ((target / "old.safetensors").read_bytes() != OLD)
        if actual:
            errors[case.name] = actual
        if reply["outcome"].startswith(("hung", "died")):
            sandbox.close()
            sandbox.start()
    assert not errors, f"{len(errors)} of {len(cases)}"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A sound checkpoint."""
    weights_convert.write(checkpoint(), tmp_path / "good.safetensors")
    return tmp_path / "good.safetensors"


def test_links_to_the_source_and_the_destination_are_followed(good: Path, tmp_path: Path) -> None:
    (tmp_path / "source").symlink_to(good)
    (tmp_path / "real.pth").write_bytes(OLD)
    (tmp_path / "link.pth").symlink_to("real.pth")
    weights_convert.convert(tmp_path / "source", tmp_path / "link.pth", force=True)
    assert (tmp_path / "link.pth").is_symlink()
    assert weights_convert.read(tmp_path / "real.pth").hashes() == checkpoint().hashes()


def test_a_linked_orbax_directory_is_read(tmp_path: Path) -> None:
    weights_convert.write(checkpoint(), tmp_path / "real.orbax")
    (tmp_path / "link").symlink_to("real.orbax")
    assert weights_convert.read(tmp_path / "link").hashes() == checkpoint().hashes()


@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".npz", ".keras", ".weights.h5", ".orbax"])
@pytest.mark.parametrize("make", [os.mkfifo, special_files.make_socket], ids=["pipe", "socket"])
def test_what_is_no_file_is_never_replaced(
    make: Callable[[Path], None], ending: str, good: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"special{ending}"
    make(path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError):
        weights_convert.convert(good, path, force=True)
    assert sorted(tmp_path.iterdir()) == before
    assert not path.is_file()


@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".npz", ".keras", ".weights.h5", ".orbax"])
@pytest.mark.parametrize(
    "after", [Path.mkdir, os.mkfifo, Path.touch, lambda path: None], ids=["folder", "pipe", "empty", "gone"]
)
def test_a_file_that_changes_once_it_is_recognised(
    after: Callable[[Path], Any], ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is open already and is read whole; a folder has gone."""
    path = tmp_path / f"model{ending}"
    weights_convert.write(checkpoint(), path)

    def recognised(source: SourceFile) -> Any:
        reader = reader_for(source)
        path.rename(tmp_path / "moved")
        after(path)
        return reader

    monkeypatch.setattr(sys.modules["weights_convert.read"], "reader_for", recognised)
    if ending == ".orbax":
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            weights_convert.read(path)
    else:
        assert weights_convert.read(path).hashes() == checkpoint().hashes()


@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".npz", ".keras", ".weights.h5", ".orbax"])
def test_tensors_of_nan_and_infinity_are_kept_bit_for_bit(ending: str, tmp_path: Path) -> None:
    odd = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, np.float32(1e-45)], np.float32)
    odd = np.concatenate([odd, np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)])
    tensors = {
        name: np.resize(odd, array.shape) if array.dtype == np.float32 else array
        for name, array in checkpoint().tensors.items()
    }
    expected = Checkpoint(checkpoint().config, tensors)
    weights_convert.write(expected, tmp_path / f"model{ending}")
    assert weights_convert.read(tmp_path / f"model{ending}").hashes() == expected.hashes()


def test_records_without_checksums_are_read(tmp_path: Path) -> None:
    """torch writes 0 for the CRC-32 of every record where `set_crc32_options(False)` was called."""
    weights_convert.write(checkpoint(), tmp_path / "model.pth")
    raw = bytearray((tmp_path / "model.pth").read_bytes())
    place = raw.find(archives.CENTRAL)
    while place >= 0:
        raw[place + 16 : place + 20] = bytes(4)
        place = raw.find(archives.CENTRAL, place + 46)
    (tmp_path / "model.pth").write_bytes(raw)
    assert weights_convert.read(tmp_path / "model.pth").hashes() == checkpoint().hashes()
