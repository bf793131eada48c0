"""Limits of names, counts, headers and texts: each excess is refused at reading in one line."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import Checkpoint, CheckpointError, open_checkpoint, open_pretrained, write_pretrained
from danet_common.checkpoint.canonical import LARGEST_SOURCE, LONGEST_NAME
from danet_common.checkpoint.pretrained import CONFIG, WEIGHTS
from danet_common.checkpoint.safetensors_header import HEADER_LIMIT
from danet_common.checkpoint.shards import MAXIMUM_SHARDS
from danet_common.config import DANetConfig
from danet_common.config.network import LONGEST_CLASS_NAME, LONGEST_GRID, MAXIMUM_CLASSES
from danet_common.files.regular_file import SETTINGS, RegularFile
from danet_common.files.regular_file import WEIGHTS as WEIGHTS_LIMIT
from shared_tests.malicious.seeds import checkpoint
from shared_tests.malicious.special import SPECIAL

ENDINGS = (".safetensors", ".pth", ".npz", ".keras", ".weights.h5")


def with_header(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A file whose JSON header is changed."""
    weights_convert.write(checkpoint(), path)
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])
    return path


def with_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A file whose manifest is changed."""

    def change_header(header: dict[str, Any]) -> None:
        manifest = json.loads(header["__metadata__"]["danet"])
        change(manifest)
        header["__metadata__"]["danet"] = json.dumps(manifest)

    return with_header(path, change_header)


def name_classes(manifest: dict[str, Any], length: int) -> None:
    classes = manifest["config"]["num_classes"]
    manifest["config"]["class_names"] = ["x" * length] + [str(index) for index in range(1, classes)]


CLAIMS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a long class name": (
        lambda manifest: name_classes(manifest, LONGEST_CLASS_NAME + 1),
        f"class_names must have at most {LONGEST_CLASS_NAME} letters each; one has {LONGEST_CLASS_NAME + 1}",
    ),
    "a very long class name": (lambda manifest: name_classes(manifest, 300_000), "class_names"),
    "many classes": (
        lambda manifest: manifest["config"].update(num_classes=MAXIMUM_CLASSES + 1, class_names=None, palette=None),
        f"num_classes must be at most {MAXIMUM_CLASSES}",
    ),
    "many factors": (
        lambda manifest: manifest["config"].update(multi_grid=[1] * (LONGEST_GRID + 1)),
        f"multi_grid must have at most {LONGEST_GRID} factors",
    ),
    "a long source": (
        lambda manifest: manifest["source"].update(note="x" * LARGEST_SOURCE),
        f"the manifest's source is longer than {LARGEST_SOURCE} letters",
    ),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_manifest_claims_is_bounded(claim: str, tmp_path: Path) -> None:
    change, reason = CLAIMS[claim]
    path = with_manifest(tmp_path / "a.safetensors", change)
    for read in (open_checkpoint, weights_convert.read, weights_convert.inspect):
        with pytest.raises(CheckpointError, match=reason) as caught:
            read(path)
        assert len(str(caught.value)) < 500


def test_a_class_name_of_the_longest_length_is_read(tmp_path: Path) -> None:
    path = with_manifest(tmp_path / "a.safetensors", lambda manifest: name_classes(manifest, LONGEST_CLASS_NAME))
    names = open_checkpoint(path).config.class_names
    assert names is not None
    assert len(names[0]) == LONGEST_CLASS_NAME


def test_headers_and_indexes_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", HEADER_LIMIT + 1) + b"{")
        file.truncate(2 * HEADER_LIMIT)
    with pytest.raises(CheckpointError, match="a header of 10000001 bytes"):
        open_checkpoint(path)
    index = tmp_path / "a.safetensors.index.json"
    index.write_bytes(b'{"weight_map": {}}' + b" " * HEADER_LIMIT)
    with pytest.raises(CheckpointError, match="is larger than 10 MB, the limit for an index"):
        open_checkpoint(index)
    files = {f"t{number}": f"model-{number}.safetensors" for number in range(MAXIMUM_SHARDS + 1)}
    index.write_text(json.dumps({"weight_map": files}))
    with pytest.raises(CheckpointError, match="a set of 257 files; the limit is 256"):
        open_checkpoint(index)


def test_a_language_models_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparse files of 2 GB: their tensors are never in memory."""
    size = 2_000_000_000
    header = {"model.embed.weight": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + size)
    read_at = RegularFile.read_at

    def read_little(file: RegularFile, start: int, size: int) -> np.ndarray:
        assert size < 1 << 20
        return read_at(file, start, size)

    monkeypatch.setattr(RegularFile, "read_at", read_little)
    with pytest.raises(CheckpointError, match="fit no known schema"):
        weights_convert.read(path)
    os.truncate(path, WEIGHTS_LIMIT.size + 1)
    for read in (weights_convert.read, open_checkpoint):
        with pytest.raises(CheckpointError, match="is larger than 8,000 MB, the limit for a file of weights"):
            read(path)


def test_many_dimensions_and_empty_tensors_of_large_shapes(tmp_path: Path) -> None:
    for shape in ([1] * 33, [0, 1 << 61]):
        text = json.dumps({"x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0 if 0 in shape else 4]}}).encode()
        path = tmp_path / "a.safetensors"
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(0 if 0 in shape else 4))
        with pytest.raises(CheckpointError, match="dimensions, or is empty and large"):
            weights_convert.read(path)


def test_a_list_of_records_is_bounded(tmp_path: Path) -> None:
    """The end of a zip archive claims a directory of 50 MB, which the sparse file has."""
    path = tmp_path / "a.pth"
    size = 50_000_000
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4xHHIIH", b"PK\x05\x06", 1, 1, size, 0, 0))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        weights_convert.read(path)


@pytest.mark.parametrize("name", ["../../x", "/x", "a//x", "a/./x", "..", "a\\x", ""])
def test_a_name_that_an_archive_cannot_hold_is_refused_by_its_writer(name: str, tmp_path: Path) -> None:
    network = Checkpoint(checkpoint().config, checkpoint().tensors, {name: np.zeros(2, np.float32)})
    for ending in (".npz", ".pth", ".safetensors"):
        path = tmp_path / f"a{ending}"
        try:
            weights_convert.write(network, path)
        except CheckpointError as error:
            assert "name" in str(error)  # noqa: PT017
            assert not path.exists()
        else:
            assert list(weights_convert.read(path).extra_tensors) == [name]


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "\x1b[2J", "x" * (LONGEST_NAME + 1)])
def test_a_name_that_does_not_print_is_never_written(name: str, tmp_path: Path) -> None:
    network = Checkpoint(checkpoint().config, checkpoint().tensors, {name: np.zeros(2, np.float32)})
    for ending in (".safetensors", ".pth", ".npz", ".safetensors.index.json"):
        with pytest.raises(CheckpointError, match="is empty, too long, or no text"):
            weights_convert.write(network, tmp_path / f"a{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_file_in_a_checkpoints_place_ends_at_once(kind: str, tmp_path: Path) -> None:
    for ending in (*ENDINGS, ".safetensors.index.json", ".orbax"):
        path = tmp_path / f"a{ending}"
        SPECIAL[kind](path)
        for read in (open_checkpoint, weights_convert.read, weights_convert.inspect):
            with pytest.raises(CheckpointError) as caught:
                read(path)
            assert "\n" not in str(caught.value)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_file_in_a_config_files_place_ends_at_once(kind: str, tmp_path: Path) -> None:
    write_pretrained(checkpoint(), tmp_path / "net")
    (tmp_path / "net" / CONFIG).unlink()
    SPECIAL[kind](tmp_path / "net" / CONFIG)
    for read in (open_pretrained, weights_convert.read):
        with pytest.raises(CheckpointError, match="no config of a DANet"):
            read(tmp_path / "net")
    (tmp_path / "net" / CONFIG).unlink() if kind != "folder" else (tmp_path / "net" / CONFIG).rmdir()
    (tmp_path / "net" / CONFIG).write_bytes(b" " * (SETTINGS.size + 1))
    with pytest.raises(CheckpointError, match="is larger than 1 MB"):
        open_pretrained(tmp_path / "net")
    os.truncate(tmp_path / "net" / CONFIG, 0)
    (tmp_path / "net" / WEIGHTS).unlink()
    SPECIAL[kind](tmp_path / "net" / WEIGHTS)
    for read in (open_pretrained, weights_convert.read):
        with pytest.raises(CheckpointError):
            read(tmp_path / "net")


def test_the_limits_hold_what_a_config_has() -> None:
    names = tuple(f"{index:0{LONGEST_CLASS_NAME}}" for index in range(1_000))
    config = DANetConfig(num_classes=1_000, class_names=names)
    assert len(json.dumps(config.to_dict())) < SETTINGS.size
