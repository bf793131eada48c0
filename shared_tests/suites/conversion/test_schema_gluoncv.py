"""GluonCV's files in MXNet's format, whose bytes are held against a file that MXNet 1.9.1 wrote."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common import CheckpointError
from shared_tests.suites.upstream_networks import named_tensors, write_upstream_checkpoint
from weights_convert.containers.source_file import open_source
from weights_convert.formats import mxnet_file

# mx.nd.save of a.weight = arange(6) (2, 3) float32, b.gamma = ones(1) float32 and h = ones(2) float16.
WRITTEN_BY_MXNET = bytes.fromhex(
    "120100000000000000000000000000000300000000000000"
    "c9fa93f9000000000200000002000000000000000300000000000000010000000000000000000000"
    "000000000000803f0000004000004040000080400000a040"
    "c9fa93f90000000001000000010000000000000001000000000000000000000"
    "00000803f"
    "c9fa93f9000000000100000002000000000000000100000000000000020000"
    "00003c003c"
    "03000000000000000800000000000000612e776569676874"
    "0700000000000000622e67616d6d61010000000000000068"
)
ARRAYS: dict[str, np.ndarray] = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.gamma": np.ones(1, np.float32),
    "h": np.ones(2, np.float16),
}
HEAD = struct.pack("<QQQ", 0x112, 0, 1)
NAME = struct.pack("<QQ", 1, 1) + b"w"
DATA = np.arange(2, dtype=np.float32)


def written(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def test_mxnets_own_bytes(tmp_path: Path) -> None:
    tensors = mxnet_file.read(open_source(written(tmp_path / "mxnet.params", WRITTEN_BY_MXNET))).tensors
    assert list(tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == array.dtype
        assert np.array_equal(tensors[name], array)
    mxnet_file.write_foreign(ARRAYS, tmp_path / "ours.params")
    assert (tmp_path / "ours.params").read_bytes() == WRITTEN_BY_MXNET


@pytest.mark.parametrize(
    "array",
    [
        struct.pack("<II", 1, 2),  # before version 1: the number of dimensions, and sizes of 32 bits
        struct.pack("<Iiq", 0xF993FAC8, 1, 2),
        struct.pack("<Iiiq", 0xF993FAC9, 0, 1, 2),
        struct.pack("<Iiiq", 0xF993FACA, 0, 1, 2),
    ],
)
def test_every_version_of_an_array(array: bytes, tmp_path: Path) -> None:
    raw = HEAD + array + struct.pack("<iii", 2, 3, 0) + DATA.tobytes() + NAME  # it was on the fourth GPU
    tensors = mxnet_file.read(open_source(written(tmp_path / "one.params", raw))).tensors
    assert np.array_equal(tensors["w"], DATA)


def test_the_prefixes_of_exported_files(tmp_path: Path) -> None:
    named = named_tensors("gluoncv")
    exported = {("aux:" if "running" in key else "arg:") + key: array for key, array in named.items()}
    mxnet_file.write_foreign(exported, tmp_path / "danet-0000.params")
    assert weights_convert.read(tmp_path / "danet-0000.params").source["schema"] == "gluoncv"


def test_cut_short_anywhere(tmp_path: Path) -> None:
    for length in range(8, len(WRITTEN_BY_MXNET)):
        with pytest.raises(CheckpointError, match="cut short or damaged near byte"):
            mxnet_file.read(open_source(written(tmp_path / "cut.params", WRITTEN_BY_MXNET[:length])))
    with pytest.raises(CheckpointError, match="damaged"):
        mxnet_file.read(open_source(written(tmp_path / "long.params", WRITTEN_BY_MXNET + b"\0")))


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (struct.pack("<Ii", 0xF993FAC9, 1), "an array is sparse"),
        (struct.pack("<Iii", 0xF993FAC9, 0, 33), "an array of 33 dimensions"),
        (struct.pack("<Iii", 0xF993FAC9, 0, -1), "an array of -1 dimensions"),
        (struct.pack("<Iii", 0xF993FAC9, 0, 0), "an array has no shape"),
        (struct.pack("<Iiiqiii", 0xF993FAC9, 0, 1, -2, 1, 0, 0), "shape \\[-2\\]"),
        (struct.pack("<Iiiqiii", 0xF993FAC9, 0, 1, 2, 1, 0, 99), "dtype number 99"),
        (struct.pack("<Iiiqqiii", 0xF993FAC9, 0, 2, 1 << 40, 1 << 40, 1, 0, 0), "bytes announced"),
        (struct.pack("<Iiiqqiii", 0xF993FAC9, 0, 2, 0, 1 << 62, 1, 0, 0), "array is too big"),
    ],
)
def test_damaged_arrays(array: bytes, what: str, tmp_path: Path) -> None:
    raw = HEAD + array + bytes(64)
    with pytest.raises(CheckpointError, match=what):
        mxnet_file.read(open_source(written(tmp_path / "damaged.params", raw)))


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (struct.pack("<QQQ", 0x112, 0, 1 << 60), "1152921504606846976 items announced"),
        (struct.pack("<QQQQ", 0x112, 0, 0, 0), "the 0 arrays of the MXNet file have no names"),
        (WRITTEN_BY_MXNET.replace(b"b.gamma", b"b.gamm\xff"), "'utf-8' codec can't decode"),
        (WRITTEN_BY_MXNET[:-9] + struct.pack("<Q", 5) + b"h", "bytes announced"),
    ],
)
def test_damaged_lists(raw: bytes, what: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=what):
        mxnet_file.read(open_source(written(tmp_path / "damaged.params", raw)))


def test_what_the_format_cannot_hold(tmp_path: Path) -> None:
    for array in (np.zeros((), np.float32), np.zeros(1, np.uint64)):
        with pytest.raises(CheckpointError):
            mxnet_file.write_foreign({"w": array}, tmp_path / "model.params")
    assert not list(tmp_path.iterdir())


def test_the_network_is_the_one_without_dropout(tmp_path: Path) -> None:
    result = weights_convert.read(write_upstream_checkpoint(tmp_path, "gluoncv"))
    assert result.source["defaulted"] == {"dropout_rate": "0.0"}
    assert not result.config.dropout_rate
