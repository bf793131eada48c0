"""PaddleSeg's files: biases folded into means, one classifier for two branches, and the pickle around them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common import CheckpointError
from shared_tests.suites.upstream_networks import checkpoint_of, named_tensors, schema_of, write_upstream_checkpoint
from weights_convert.formats.pickle_file import NAME_TABLE

BIAS, MEAN = "head.position_conv._conv.bias", "head.position_conv._batch_norm._mean"
OUR_MEAN = "head.position_in.bn.running_mean"


def biased(folder: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """A file with a bias that float32 cannot subtract exactly; bias and mean."""
    mean = named_tensors("paddleseg")[MEAN]
    bias = np.linspace(0.1, 0.7, mean.size).astype(np.float32) * np.float32(1e-3)
    return write_upstream_checkpoint(folder, "paddleseg", changes={BIAS: bias}), bias, mean


def test_biases_are_folded_exactly(tmp_path: Path) -> None:
    path, bias, mean = biased(tmp_path)
    lines: list[str] = []
    result = weights_convert.read(path, report=lines.append)
    folded = result.tensors[OUR_MEAN]
    assert folded.dtype == np.float64
    assert np.array_equal(folded + bias.astype(np.float64), mean.astype(np.float64))
    assert sum(array.dtype == np.float64 for array in result.tensors.values()) == 1
    assert any("biases of 1 convolution into" in line for line in lines)


def test_written_biases_are_zero(tmp_path: Path) -> None:
    path, bias, mean = biased(tmp_path)
    weights_convert.convert(path, tmp_path / "again.pdparams", to_schema="paddleseg")
    written = pickle.loads((tmp_path / "again.pdparams").read_bytes())
    assert not written[BIAS].any()
    assert np.array_equal(written[MEAN], mean - bias)
    assert written[BIAS].dtype == written[MEAN].dtype == np.float32


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_every_protocol(protocol: int, tmp_path: Path) -> None:
    named = named_tensors("paddleseg")
    (tmp_path / "model.pdparams").write_bytes(pickle.dumps({**named, NAME_TABLE: {}}, protocol=protocol))
    result = weights_convert.read(tmp_path / "model.pdparams")
    assert result.source["format"] == "pickle"
    assert np.array_equal(result.tensors[OUR_MEAN], named[MEAN])


def test_the_written_pickle_is_plain(tmp_path: Path) -> None:
    weights_convert.write(checkpoint_of("paddleseg"), tmp_path / "model.pdparams", "paddleseg")
    raw = (tmp_path / "model.pdparams").read_bytes()
    assert raw[:2] == b"\x80\x04"
    content = pickle.loads(raw, encoding="latin1")  # Paddle's own way
    table = content.pop(NAME_TABLE)
    assert list(content) == list(table)
    assert content.keys() == named_tensors("paddleseg").keys()
    assert len({*table.values()}) == len(table)
    assert table["backbone.conv1_1._conv.weight"] == "conv2d_0.w_0"
    assert table["head.cls_head.1.bias"].startswith("conv2d_")
    assert table["head.pam.gamma"] == "pam_0.w_0"
    for array in content.values():
        assert array.flags.writeable


def test_both_branches_have_the_one_classifier(tmp_path: Path) -> None:
    lines: list[str] = []
    result = weights_convert.read(write_upstream_checkpoint(tmp_path, "paddleseg"), report=lines.append).tensors
    for leaf in ("weight", "bias"):
        assert np.array_equal(result[f"head.position_classifier.{leaf}"], result[f"head.channel_classifier.{leaf}"])
    assert any("aux_head_cam for both" in line for line in lines)


def test_the_classifier_that_is_never_used_travels(tmp_path: Path) -> None:
    key = "head.aux_head_pam.1.weight"
    weight = np.full((5, 24, 1, 1), 7, np.float32)
    path = write_upstream_checkpoint(tmp_path, "paddleseg", changes={key: weight})
    weights_convert.convert(path, tmp_path / "canonical.safetensors")
    weights_convert.convert(tmp_path / "canonical.safetensors", tmp_path / "again.pdparams", to_schema="paddleseg")
    assert np.array_equal(pickle.loads((tmp_path / "again.pdparams").read_bytes())[key], weight)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({BIAS: None}, "missing: head.position_conv._conv.bias [24]"),
        ({BIAS: np.zeros(7, np.float32)}, "wrong shape: head.position_conv._conv.bias is float32 [7]"),
        ({BIAS: np.zeros(24, np.int64)}, "wrong shape: head.position_conv._conv.bias is int64 [24]"),
        ({MEAN: None}, "unused: head.position_conv._conv.bias [24]"),
    ],
)
def test_faults_of_a_bias(changes: dict[str, np.ndarray | None], error: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        weights_convert.read(write_upstream_checkpoint(tmp_path, "paddleseg", changes=changes), schema="paddleseg")
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"UnpackBigParamInfor@@": {}, "a": np.zeros(1)}, "its arrays are sliced"),
        ({"a": np.zeros(1), "b": "text"}, "fit no known schema"),
        ({1: np.zeros(1)}, "fit no known schema|in a list, without names"),
        ({}, "holds no tensors, but a dict"),
        ([1, 2], "holds no tensors, but a list"),
        (Path("/"), "a pickled object of class pathlib"),
        ({"a": np.array([{}], object)}, "holds no tensors, but a dict"),
    ],
)
def test_other_pickles(content: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "model.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        weights_convert.read(tmp_path / "model.pdparams")


def test_truncated_and_lengthened_pickles(tmp_path: Path) -> None:
    weights_convert.write(checkpoint_of("paddleseg"), tmp_path / "model.pdparams", "paddleseg")
    raw = (tmp_path / "model.pdparams").read_bytes()
    for part in (raw[:-1], raw[: len(raw) // 2], raw[:100], raw + b"\0"):
        (tmp_path / "part.pdparams").write_bytes(part)
        with pytest.raises(CheckpointError):
            weights_convert.read(tmp_path / "part.pdparams")


def test_aligned_corners_can_be_set(tmp_path: Path) -> None:
    path = write_upstream_checkpoint(tmp_path, "paddleseg")
    assert weights_convert.read(path, settings={"upsample_grid": "corners"}).config.upsample_grid == "corners"
    assert not schema_of("paddleseg").allows("upsample_grid", "half_pixel")
