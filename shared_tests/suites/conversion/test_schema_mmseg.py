"""MMSegmentation's files: what their meta says reaches the config, and what it cannot is refused or said."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError
from shared_tests.suites.upstream_networks import MMSEG, checkpoint_of, named_tensors
from weights_convert.containers.config_text import read_config_text, write_config_text
from weights_convert.formats import torch_file
from weights_convert.schemas.mmseg_metadata import from_metadata, trainer_object

TEXT = """\
base = 0.9
crop_size = (769, 769)
model = dict(
    data_preprocessor=dict(bgr_to_rgb=True, mean=[127.5, 51, 0.255], size=crop_size, std=[255, 25.5, 51.0]),
    backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), multi_grid=[2, 4, 8], norm_cfg=dict(type='SyncBN')),
    decode_head=dict(type='DAHead', align_corners=True, dropout_ratio=0.25, norm_cfg=dict(eps=1e-05)))
"""


def write(path: Path, meta: Mapping[str, Any] | None) -> Path:
    content: dict[str, Any] = {"state_dict": named_tensors("mmseg")}
    torch_file.write_foreign(content if meta is None else {"meta": meta, **content}, path)
    return path


def test_the_configuration_reaches_the_config(tmp_path: Path) -> None:
    lines: list[str] = []
    path = write(tmp_path / "iter_80000.pth", {"cfg": TEXT})
    config = weights_convert.read(path, report=lines.append).config
    assert not lines
    assert (config.output_stride, config.multi_grid, config.contract_dilation) == (16, (1, 2, 4), False)
    assert (config.upsample_grid, config.dropout_rate) == ("corners", 0.25)
    assert (config.mean, config.std) == ((0.5, 0.2, 0.001), (1.0, 0.1, 0.2))
    assert (config.class_names, config.palette) == (None, None)


@pytest.mark.parametrize("classes", [{"dataset_meta": {"classes": list("abcde")}}, {"CLASSES": tuple("abcde")}])
def test_classes_of_both_generations(classes: dict[str, Any], tmp_path: Path) -> None:
    assert weights_convert.read(write(tmp_path / "latest.pth", classes)).config.class_names == tuple("abcde")


def test_classes_of_another_count_are_left_out_and_said(tmp_path: Path) -> None:
    meta = {"CLASSES": ("road", "sky"), "PALETTE": [[1, 2, 3], [4, 5, 6]]}
    lines: list[str] = []
    config = weights_convert.read(write(tmp_path / "latest.pth", meta), report=lines.append).config
    assert (config.class_names, config.palette) == (None, None)
    assert "class_names: the file has 2 for 5 classes; left out" in lines
    assert "palette: the file has 2 for 5 classes; left out" in lines


def test_without_meta_everything_assumed_is_said(tmp_path: Path) -> None:
    lines: list[str] = []
    result = weights_convert.read(write(tmp_path / "bare.pth", None), report=lines.append)
    assert result.config == MMSEG.replace(class_names=None, palette=None)
    assert result.source["defaulted"].keys() == {"upsample_grid", "output_stride", "multi_grid", "contract_dilation"}
    assert len(lines) == 4


def test_a_setting_overrides_the_meta_aloud(tmp_path: Path) -> None:
    lines: list[str] = []
    path = write(tmp_path / "latest.pth", {"cfg": TEXT})
    config = weights_convert.read(path, settings={"upsample_grid": "half_pixel"}, report=lines.append).config
    assert config.upsample_grid == "half_pixel"
    assert lines == ["upsample_grid=half_pixel: as set; the file says corners"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"upsample_grid": "corners", "multi_grid": (1, 2, 4), "output_stride": 16, "dropout_rate": 0.5},
        {"contract_dilation": False, "mean": (0.5, 0.25, 0.125), "batch_norm_epsilon": 1e-3, "palette": None},
    ],
)
def test_what_is_written_says_all_again(changes: dict[str, Any], tmp_path: Path) -> None:
    config = MMSEG.replace(**changes)
    lines: list[str] = []
    path = tmp_path / "latest.pth"
    weights_convert.write(Checkpoint(config, checkpoint_of("mmseg").tensors), path, "mmseg", report=lines.append)
    assert weights_convert.read(path, report=lines.append).config == config
    assert not lines


def test_the_written_configuration_builds_the_model() -> None:
    config = VARIANTS["danet_r50_mmseg"]
    model = read_config_text(trainer_object({}, config)["meta"]["cfg"])["model"]
    backbone, head, auxiliary = (model[name] for name in ("backbone", "decode_head", "auxiliary_head"))
    assert (backbone["type"], backbone["depth"], backbone["stem_channels"]) == ("ResNetV1c", 50, 64)
    assert (head["in_channels"], head["channels"], head["pam_channels"], head["in_index"]) == (2048, 512, 64, 3)
    assert (auxiliary["in_channels"], auxiliary["channels"], auxiliary["in_index"]) == (1024, 256, 2)
    assert head["num_classes"] == auxiliary["num_classes"] == config.num_classes


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("strides=(1, 2, 2, 1)", "strides=(2, 2, 2, 1)", r"strides \(2, 2, 2, 1\) and dilations \(1, 1, 1, 2\)"),
        ("dilations=(1, 1, 1, 2)", "dilations=(1, 1, 2, 4)", "which a DANetConfig cannot have"),
        ("dilations=(1, 1, 1, 2)", "dilations=7", "the configuration in its meta is damaged"),
        ("[2, 4, 8]", "[1, 2, 4]", r"layer4 has dilations \(1, 2, 4\), which are not multiples of 2"),
        ("multi_grid=[2, 4, 8]", "style='caffe'", "strides on the 1x1 convolutions"),
        ("bgr_to_rgb=True", "bgr_to_rgb=False", "takes BGR images"),
        ("eps=1e-05", "eps=0.001", "epsilons"),
        ("dropout_ratio=0.25", "dropout_ratio='all'", "mmseg"),
    ],
)
def test_networks_that_ours_cannot_be(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in TEXT
    path = write(tmp_path / "latest.pth", {"cfg": TEXT.replace(old, new)})
    with pytest.raises(CheckpointError, match=message):
        weights_convert.read(path)


def test_a_palette_that_is_an_array(tmp_path: Path) -> None:
    """MMSegmentation draws the colours of classes it does not know, and saves them as NumPy made them."""
    torch = pytest.importorskip("torch")
    state_dict = {key: torch.from_numpy(np.array(array)) for key, array in named_tensors("mmseg").items()}
    colours = np.arange(15).reshape(5, 3)
    torch.save({"meta": {"PALETTE": colours}, "state_dict": state_dict}, tmp_path / "latest.pth")
    palette = weights_convert.read(tmp_path / "latest.pth").config.palette
    assert palette == tuple(tuple(colour) for colour in colours.tolist())


@pytest.mark.parametrize(
    "text",
    [
        "model = __import__('os').system('exit 1')",
        "model = dict(backbone=open('/etc/passwd').read())",
        "model = [x for x in (1,)]",
        "model = f'{exit()}'",
        "model = dict(**exit())",
        "raise SystemExit",
        "model = " + "-" * 10_000 + "1",
        "model = " + "[" * 150 + "]" * 150,
        "model = " + "1 if 1 else " * 5_000 + "1",
        "model = 1" + "+1" * 5_000,
        "model = a" + ".b" * 5_000,
        "model = '\\d'",
        "model = (",
        "\0",
        "x = 1\n" * 200_000,
        None,
        b"model = 1",
    ],
)
def test_a_configuration_is_never_run(text: Any) -> None:
    assert from_metadata({"meta": {"cfg": text}}) == {}


def test_configuration_text_there_and_back() -> None:
    values = {"model": {"a": [1, -2.5, None], "b": {"c": (1,), "d": "it's"}, "e": True}, "scope": "x"}
    assert read_config_text(write_config_text(values)) == values
    assert read_config_text("a = {'b': 1, 2: 3, 'c': f()}\nd = dict(e=a, f=1)\ng, h = 1, 2") == {
        "a": {"b": 1},
        "d": {"f": 1},
    }


def test_the_trainers_objects_are_inert(tmp_path: Path) -> None:
    """The message hub holds objects of MMEngine's classes, which are neither imported nor needed."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (exec, ("raise SystemExit",))

    torch = pytest.importorskip("torch")
    state_dict = {key: torch.from_numpy(np.array(array)) for key, array in named_tensors("mmseg").items()}
    content = {"meta": {"cfg": TEXT, "hook": Trap()}, "state_dict": state_dict, "message_hub": {"log": Trap()}}
    torch.save(content, tmp_path / "latest.pth", pickle_module=pickle)
    assert weights_convert.read(tmp_path / "latest.pth").config.output_stride == 16
