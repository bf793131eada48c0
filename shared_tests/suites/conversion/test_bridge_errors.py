"""Whatever is wrong with either end of a conversion: one clear line, nothing written, the old file as it was."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError, DANetConfig
from shared_tests.fixtures.synthetic import synthetic_tensors
from weights_convert.formats import WRITERS, safetensors_file
from weights_convert.mapping.apply import from_canonical
from weights_convert.schemas import SCHEMAS

CONFIG = VARIANTS["danet_tiny"]
ENDINGS = tuple(ending for ending, _ in WRITERS if ending not in (".pt", ".pth.tar"))

pytest.importorskip("h5py")
pytest.importorskip("orbax.checkpoint")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good checkpoint of each format."""
    for ending in ENDINGS:
        weights_convert.write(Checkpoint(CONFIG, synthetic_tensors(CONFIG)), tmp_path / f"good{ending}")
    return tmp_path


def listing(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def refused(source: Path, **options: str) -> str:
    """The first line of the error; the destination must not appear, nor anything else."""
    before = listing(source.parent)
    with pytest.raises(CheckpointError) as caught:
        weights_convert.convert(source, source.parent / "out.safetensors", **options)  # type: ignore[arg-type]
    assert listing(source.parent) == before
    first = str(caught.value).splitlines()[0]
    assert first.startswith(str(source))
    return first.removeprefix(str(source))


@pytest.mark.parametrize("ending", sorted(set(ENDINGS) - {".orbax"}))
def test_truncated_files(ending: str, folder: Path) -> None:
    whole = (folder / f"good{ending}").read_bytes()
    for size in (0, 3, 7, 100, len(whole) // 2, len(whole) - 1):
        (folder / f"cut{ending}").write_bytes(whole[:size])
        message = refused(folder / f"cut{ending}")
        assert any(word in message for word in ("cut short", "damaged", "empty file", "unknown content")), message


@pytest.mark.parametrize("ending", sorted(set(ENDINGS) - {".orbax"}))
def test_changed_bytes_are_noticed(ending: str, folder: Path) -> None:
    """A flipped bit in a tensor fails its SHA-256; elsewhere it may do no harm, but never passes for another value."""
    whole = bytearray((folder / f"good{ending}").read_bytes())
    good = weights_convert.read(folder / f"good{ending}").hashes()
    for position in range(50, len(whole), len(whole) // 40):
        whole[position] ^= 1
        (folder / f"bad{ending}").write_bytes(whole)
        whole[position] ^= 1
        try:
            assert weights_convert.read(folder / f"bad{ending}").hashes() == good
        except CheckpointError:
            continue


def test_incomplete_orbax_directories(folder: Path) -> None:
    for victim in ("manifest.ocdbt", "_METADATA", "d"):
        path = folder / "bad.orbax"
        shutil.copytree(folder / "good.orbax", path)
        removed = path / "state" / victim
        shutil.rmtree(removed) if removed.is_dir() else removed.unlink()
        message = refused(path)
        assert "incomplete or damaged" in message or "without Orbax's metadata" in message
        shutil.rmtree(path)


OTHER_FILES: dict[str, tuple[bytes, str]] = {
    "picture.png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image"),
    "picture.jpg": (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG image"),
    "page.pth": (b"<!DOCTYPE html><html></html>", "an HTML page"),
    "pointer.pth": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    "notes.txt": (b"hello, world", "a file of unknown content"),
    "empty.pth": (b"", "an empty file"),
}


@pytest.mark.parametrize("name", OTHER_FILES)
def test_files_that_are_no_checkpoints(name: str, tmp_path: Path) -> None:
    content, what = OTHER_FILES[name]
    (tmp_path / name).write_bytes(content)
    assert what in refused(tmp_path / name)


def test_directories_archives_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "a directory without Orbax's metadata" in refused(tmp_path / "folder")
    assert "no such file" in refused(tmp_path / "missing.pth")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "text")
    assert "a zip archive of other content" in refused(tmp_path / "other.zip")


def test_what_is_near_to_a_format(tmp_path: Path) -> None:
    """Keras's index of several files."""
    weight_map = {"/backbone/vars": ["model_00000.weights.h5"]}
    (tmp_path / "model.weights.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    assert "is an index of Keras for several files" in refused(tmp_path / "model.weights.json")


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    assert "pickles are never read" in refused(tmp_path / "objects.npz")


def test_another_networks_checkpoint(tmp_path: Path) -> None:
    tensors = {f"features.{index}.weight": np.zeros((4, 4), np.float32) for index in range(30)}
    safetensors_file.write_foreign(tensors, tmp_path / "vgg.safetensors")
    with pytest.raises(CheckpointError) as caught:
        weights_convert.read(tmp_path / "vgg.safetensors")
    (line,) = str(caught.value).splitlines()
    assert "fit no known schema (tried canonical, official, tramac, torchvision" in line
    assert "not one of their 30 names is known: features.0.weight, " in line
    tensors["head.conv8.1.weight"] = np.zeros((19, 24, 1, 1), np.float32)
    safetensors_file.write_foreign(tensors, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError) as caught:
        weights_convert.read(tmp_path / "other.safetensors")
    first, *errors = str(caught.value).splitlines()
    assert "official is nearest, with" in first
    assert len(errors) == 6


def test_a_file_without_tensors(tmp_path: Path) -> None:
    safetensors_file.write_foreign({}, tmp_path / "empty.safetensors")
    assert refused(tmp_path / "empty.safetensors") == ": holds no tensors"


def test_whatever_a_source_says_a_file_can_be_inspected(tmp_path: Path) -> None:
    source = {"defaulted": [1], "repository": {"a": 1}, "layout": 5, "schema": None}
    weights_convert.write(Checkpoint(CONFIG, synthetic_tensors(CONFIG), source=source), tmp_path / "odd.safetensors")
    actual = weights_convert.inspect(tmp_path / "odd.safetensors")
    assert (actual.defaulted, actual.origin, actual.source) == ({}, None, source)


def test_whole_numbers_beyond_all_floats_in_a_config(folder: Path) -> None:
    fields = weights_convert.read(folder / "good.npz").config.to_dict()
    for name, value in {"mean": [10**400, 0, 0], "batch_norm_epsilon": 10**400}.items():
        with pytest.raises(ValueError, match=r"must be (a )?finite"):
            DANetConfig.from_dict({**fields, name: value})


def test_another_keras_model(tmp_path: Path) -> None:
    import h5py

    model = {"class_name": "VGG", "registered_name": "VGG", "config": {"layers": [{"class_name": "Conv2D"}]}}
    with h5py.File(tmp_path / "weights", "w", libver="earliest") as file:
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 4), np.float32)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("metadata.json", "{}")
        archive.write(tmp_path / "weights", "model.weights.h5")
    assert "a Keras model of class 'VGG', not 'DANet'" in refused(tmp_path / "other.keras")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    assert "a SavedModel, a program" in refused(tmp_path / "saved")


def test_two_networks_of_a_keras_model_are_chosen_by_key(tmp_path: Path) -> None:
    import h5py

    weights_convert.write(Checkpoint(CONFIG, synthetic_tensors(CONFIG)), tmp_path / "one.weights.h5")
    path = tmp_path / "two.weights.h5"
    with h5py.File(tmp_path / "one.weights.h5") as old, h5py.File(path, "w", libver="earliest") as new:
        for place in ("student", "other"):
            for part in old:
                old.copy(part, new, f"{place}/{part}")
        new["other/backbone/bn1/vars/0"][...] = 7
    assert "choose one with --weights-key other or --weights-key student" in refused(path)
    checkpoint = weights_convert.read(path, weights_key="other")
    assert (checkpoint.tensors["backbone.bn1.weight"] == 7).all()


def test_danet_keras_is_refused_by_name(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "danet.h5", "w") as file:
        file.attrs["layer_names"] = ["conv1", "pam"]
    assert "DANet-keras cannot be converted" in refused(tmp_path / "danet.h5")


def test_wrong_class_count_names_both_numbers(tmp_path: Path) -> None:
    official = next(schema for schema in SCHEMAS if schema.name == "official")
    named = from_canonical(official, Checkpoint(CONFIG, synthetic_tensors(CONFIG)), lambda line: None)
    named["head.conv6.1.weight"] = np.zeros((21, 24, 1, 1), np.float32)
    safetensors_file.write_foreign(named, tmp_path / "theirs.safetensors")
    with pytest.raises(CheckpointError) as caught:
        weights_convert.read(tmp_path / "theirs.safetensors", schema="official")
    assert "head.conv6.1.weight is [21, 24, 1, 1], expected [19, 24, 1, 1]" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schema": "pspnet"}, "unknown schema 'pspnet'; known: canonical, official"),
        ({"to_schema": "pspnet"}, "unknown schema 'pspnet'"),
        ({"schema": "official"}, "the file is canonical, not of schema official"),
        ({"dtype": "int8"}, "unknown dtype 'int8'; known: float32"),
    ],
)
def test_unknown_choices(options: dict[str, str], message: str, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        weights_convert.convert(folder / "good.pth", folder / "out.safetensors", **options)  # type: ignore[arg-type]
    assert not (folder / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", "nan,0,0", "each a finite number"),
        ("std", "1,inf,1", "each a finite number"),
        ("batch_norm_epsilon", "inf", "must be a finite number"),
        ("palette", ",".join(["0-128-256"] * 19), "palette must be of colours of 0"),
    ],
)
def test_settings_that_no_file_can_hold(field: str, value: str, message: str, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        weights_convert.convert(folder / "good.pth", folder / "out.safetensors", settings={field: value})
    assert not (folder / "out.safetensors").exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_existing_destination_needs_force(ending: str, folder: Path) -> None:
    path, source = folder / f"good{ending}", shutil.copy(folder / "good.npz", folder / "source.npz")
    with pytest.raises(CheckpointError, match="exists already"):
        weights_convert.convert(source, path)
    weights_convert.convert(source, path, force=True, settings={"multi_grid": "1,2"})
    assert weights_convert.read(path).config.multi_grid == (1, 2)


def test_paths_that_the_system_refuses(folder: Path) -> None:
    """A name that is too long, since root may do everything else."""
    path = folder / f"{'x' * 300}.pth"
    with pytest.raises(CheckpointError, match="cannot be read: File name too long"):
        weights_convert.read(path)
    with pytest.raises(CheckpointError, match="cannot be written: File name too long"):
        weights_convert.convert(folder / "good.pth", path)


def test_destinations_that_cannot_be(folder: Path) -> None:
    def reason(name: str, **options: str) -> str:
        with pytest.raises(CheckpointError) as caught:
            weights_convert.convert(folder / "good.npz", folder / name, force=True, **options)  # type: ignore[arg-type]
        return str(caught.value)

    (folder / "folder.pth").mkdir()
    (folder / "file.orbax").write_text("")
    assert "the ending does not say which format to write" in reason("model.bin")
    assert "is missing. Create it first" in reason("missing/model.pth")
    assert "is a directory" in reason("folder.pth")
    assert "is a file" in reason("file.orbax")
    assert "cannot hold schema official" in reason("model.keras", to_schema="official")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_leaves_the_old_file(ending: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / f"good{ending}"
    old = weights_convert.read(path)
    source = shutil.copy(folder / "good.npz", folder / "source.npz")
    before = listing(folder)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("os.fsync", "danet_common.files.atomic.exchange"):
        monkeypatch.setattr(name, full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
        weights_convert.convert(source, path, force=True, settings={"multi_grid": "1,2"})
    monkeypatch.undo()
    assert listing(folder) == before
    assert weights_convert.read(path).config == old.config


def test_a_file_size_limit_leaves_nothing(folder: Path) -> None:
    """A real failure of the system in the middle of a file: EFBIG, by the limit on a process's files, of 64 KiB."""
    before = listing(folder)
    program = (
        "import resource, sys, weights_convert\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "for path in sys.argv[2:]:\n"
        "    try:\n"
        "        weights_convert.convert(sys.argv[1], path)\n"
        "    except weights_convert.CheckpointError as error:\n"
        "        print(error)\n"
    )
    paths = [str(folder / f"new{ending}") for ending in ENDINGS]
    command = [sys.executable, "-c", program, str(folder / "good.npz"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{path}: cannot be written: File too large" for path in paths]
    assert listing(folder) == before
