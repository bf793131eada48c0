"""Training starts from a backbone's file: of torchvision, timm, mmseg, PaddleSeg, or of any DANet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint, CheckpointError, DANetConfig, write_checkpoint
from danet_common.config.network import Block
from danet_common.numerics.initialisation import initial_tensors
from shared_tests.suites.upstream_networks import (
    NETWORKS,
    checkpoint_of,
    named_tensors,
    schema_of,
    write_upstream_checkpoint,
)
from weights_convert.backbone import fill_backbone
from weights_convert.formats import safetensors_file, torch_file

WRITERS = {".pth": torch_file, ".safetensors": safetensors_file}
BACKBONES = [key for key in NETWORKS if schema_of(*key).backbone_only]
IN_TORCH = [key for key in BACKBONES if "torch" in schema_of(*key).formats]
OTHERS: dict[str, Any] = {"num_classes": 3, "multi_grid": (1, 2, 4), "auxiliary": "fcn", "output_stride": 16}


def filled(config: DANetConfig, path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """A network's tensors, and what was said; all but the backbone is held to be as it was."""
    drawn, lines = initial_tensors(config, seed=3), list[str]()
    tensors = fill_backbone(config, drawn, path, lines.append)
    Checkpoint(config, tensors).check()
    assert list(tensors) == list(drawn)
    assert all(tensors[name] is array for name, array in drawn.items() if not name.startswith("backbone."))
    return tensors, lines


def assert_backbone(tensors: Mapping[str, np.ndarray], expected_values: Mapping[str, np.ndarray]) -> None:
    """The same dtypes and bits."""
    for name, array in tensors.items():
        if name.startswith("backbone."):
            assert (array.dtype, array.tobytes()) == (expected_values[name].dtype, expected_values[name].tobytes()), (
                name
            )


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize(("name", "layout"), IN_TORCH)
def test_classification_networks(name: str, layout: str, ending: str, tmp_path: Path) -> None:
    """Into a network whose head and strides are others."""
    path = tmp_path / f"resnet{ending}"
    WRITERS[ending].write_foreign(named_tensors(name, layout), path)
    tensors, lines = filled(NETWORKS[name, layout].replace(**OTHERS), path)
    assert_backbone(tensors, checkpoint_of(name, layout).tensors)
    count = sum(key.startswith("backbone.") for key in tensors)
    classifier = [f"dropped: {key}, of the file's classifier" for key in sorted(schema_of(name, layout).extra_tensors)]
    assert lines == [f"backbone: {count} tensors of resnet{ending}", *classifier]


@pytest.mark.parametrize("with_classifier", [False, True])
def test_paddles_own_backbone(with_classifier: bool, tmp_path: Path) -> None:
    """Into the network that PaddleSeg trains from it, with other pixels: that is said."""
    classifier = {"out.weight": np.ones((128, 10), np.float32), "out.bias": np.ones(10, np.float32)}
    path = write_upstream_checkpoint(tmp_path, "paddle_backbone", "", classifier if with_classifier else None)
    config = NETWORKS["paddleseg", ""].replace(num_classes=3)
    tensors, lines = filled(config, path)
    expected = checkpoint_of("paddle_backbone").tensors
    assert_backbone({name: array for name, array in tensors.items() if not name.endswith("_tracked")}, expected)
    assert ("left out: 2 tensors of out" in lines) == with_classifier
    assert [line.partition("=")[0] for line in lines[-2:]] == ["mean", "std"]


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
@pytest.mark.parametrize("layout", ["ResNetV1c", "ResNetV1d"])
def test_mmsegs_own_backbone(layout: str, prefix: str, tmp_path: Path) -> None:
    """OpenMMLab's files have no prefix, MMPretrain's have one; a classifier is left out."""
    classifier = {"head.fc.weight": np.ones((10, 128), np.float32), "head.fc.bias": np.ones(10, np.float32)}
    tensors = {prefix + name: array for name, array in named_tensors("mmseg_backbone", layout).items()}
    torch_file.write_foreign({"state_dict": {**tensors, **classifier}}, tmp_path / "resnet.pth")
    actual, lines = filled(NETWORKS["mmseg_backbone", layout].replace(**OTHERS), tmp_path / "resnet.pth")
    assert_backbone(actual, checkpoint_of("mmseg_backbone", layout).tensors)
    assert "left out: 2 tensors of state_dict" in lines


@pytest.mark.parametrize(("name", "layout"), [key for key in NETWORKS if key not in BACKBONES])
def test_networks_of_others(name: str, layout: str, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(name, layout)
    path = write_upstream_checkpoint(tmp_path, name, layout)
    tensors, lines = filled(checkpoint.config.replace(num_classes=3, class_names=None, palette=None), path)
    assert_backbone(tensors, weights_convert.read(path).tensors)
    assert lines[1].startswith("dropped: the rest of the file, ")
    for output in lines[2:]:  # the bare file does not tell what Paddle's network was trained with
        assert output.partition("=")[0] in ("mean", "std")


def test_our_own_network(tmp_path: Path) -> None:
    """One that was trained with other pixels: that is said."""
    mine = VARIANTS["danet_tiny"].replace(mean=(0.5, 0.5, 0.5))
    write_checkpoint(Checkpoint(mine, initial_tensors(mine, seed=8)), tmp_path / "mine.safetensors")
    tensors, lines = filled(VARIANTS["danet_tiny"].replace(**OTHERS), tmp_path / "mine.safetensors")
    assert_backbone(tensors, initial_tensors(mine, seed=8))
    assert lines[2:] == ["mean=0.5,0.5,0.5: of its training; the network has mean=0.485,0.456,0.406"]


RESNETS: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}
SMALL: dict[str, Any] = {"widths": (2, 2, 3, 4), "stem_widths": (2,)}  # of a hundredth of the size


@pytest.mark.parametrize("name", RESNETS)
def test_every_depth_fits_its_variant(name: str, tmp_path: Path) -> None:
    block, layers = RESNETS[name]
    config = DANetConfig(block=block, layers=layers, **SMALL)
    weights_convert.write(Checkpoint(config, initial_tensors(config)), tmp_path / "r.pth", to_schema="torchvision")
    variant = VARIANTS[name.replace("resnet", "danet_r")].replace(**SMALL)
    tensors, _ = filled(variant, tmp_path / "r.pth")
    assert_backbone(tensors, initial_tensors(config))


@pytest.mark.parametrize(
    ("file", "network", "message"),
    [
        (
            {"layers": (1, 1, 2, 1)},
            {},
            "resnet.pth: backbone does not fit: the file has layers=1,1,2,1, the network layers=1,1,1,2. "
            "Use danet_tiny with layers=1,1,2,1",
        ),
        ({}, {"block": "bottleneck"}, "has block=basic, the network block=bottleneck. Use danet_tiny"),
        (
            {"stem": "deep", "stem_widths": (4, 4, 8), "avg_down": True},
            {},
            "has stem=deep stem_widths=4,4,8 avg_down=true, the network stem=plain stem_widths=8 avg_down=false. "
            "Use danet_tiny with stem=deep stem_widths=4,4,8 avg_down=true",
        ),
        (
            {"stem": "deep", "stem_widths": (4, 4, 8), "avg_down": True},
            {"stem": "deep", "stem_widths": (4, 4, 8)},
            "has avg_down=true, the network avg_down=false. Use",
        ),
        ({}, {"in_channels": 1, "mean": (0.5,), "std": (0.25,)}, "has in_channels=3, the network in_channels=1. Use"),
        (
            {"layers": (3, 4, 23, 3), "block": "bottleneck", **SMALL},
            {},
            "Use danet_r101 with widths=2,2,3,4 stem_w",
        ),
    ],
)
def test_another_backbone_is_refused(
    file: dict[str, object], network: dict[str, object], message: str, tmp_path: Path
) -> None:
    tiny = VARIANTS["danet_tiny"]
    theirs, ours = (
        DANetConfig.from_dict({**tiny.to_dict(), **file}),
        DANetConfig.from_dict({**tiny.to_dict(), **network}),
    )
    schema = "timm" if theirs.stem == "deep" else "torchvision"
    weights_convert.write(Checkpoint(theirs, initial_tensors(theirs)), tmp_path / "resnet.pth", to_schema=schema)
    with pytest.raises(CheckpointError) as error:
        fill_backbone(ours, initial_tensors(ours), tmp_path / "resnet.pth")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_shortcut_that_only_a_stride_needs(tmp_path: Path) -> None:
    """Strides show in the tensors of a layer4 as wide as layer3."""
    config = VARIANTS["danet_tiny"].replace(widths=(8, 12, 16, 16), output_stride=32)
    write_checkpoint(Checkpoint(config, initial_tensors(config)), tmp_path / "a.safetensors")
    ours = config.replace(output_stride=8)
    with pytest.raises(CheckpointError, match="has output_stride=32, the network output_stride=8"):
        fill_backbone(ours, initial_tensors(ours), tmp_path / "a.safetensors")


def test_what_is_no_backbone_is_refused_by_name(tmp_path: Path) -> None:
    config = VARIANTS["danet_tiny"]
    for path, message in (
        (tmp_path / "absent.pth", "absent.pth: "),
        (tmp_path / "other.safetensors", "no known schema"),
    ):
        if path.name == "other.safetensors":
            safetensors_file.write_foreign({"features.0.weight": np.zeros((4, 3, 3, 3), np.float32)}, path)
        with pytest.raises(CheckpointError, match=message):
            fill_backbone(config, initial_tensors(config), path)
