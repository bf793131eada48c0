"""Names that several projects share: torchvision's ResNet, a deep stem, blocks of a convolution and a BatchNorm."""

from collections.abc import Callable, Mapping
from typing import Any

from danet_common import DANetConfig
from weights_convert.mapping.schema import Assumption, Schema

CLASSES = 1000  # of ImageNet
OF_BACKBONE = ("block", "stem", "avg_down", "avg_down_dilated", "contract_dilation")
OF_CLASSIFICATION = (
    Assumption("output_stride", 8, "the classification network has 32; DANet removes strides"),
    Assumption("multi_grid", None, "the classification network has no dilation"),
)
STAGE = "layer{L}.{i}"


def stages(prefix: str = "", shortcut: int = 0) -> dict[str, str]:
    """Return the names of torchvision's stages; `shortcut` is the index of a shortcut's convolution."""
    return {
        f"backbone.{STAGE}.conv{{c}}": f"{prefix}{STAGE}.conv{{c}}",
        f"backbone.{STAGE}.bn{{c}}": f"{prefix}{STAGE}.bn{{c}}",
        f"backbone.{STAGE}.downsample.0": f"{prefix}{STAGE}.downsample.{shortcut}",
        f"backbone.{STAGE}.downsample.1": f"{prefix}{STAGE}.downsample.{shortcut + 1}",
    }


def plain_stem(prefix: str = "") -> dict[str, str]:
    """Return the names of torchvision's 7x7 stem."""
    return {"backbone.conv1": f"{prefix}conv1", "backbone.bn1": f"{prefix}bn1"}


def deep_stem(stem: str, last_norm: str) -> dict[str, str]:
    """Return the names of a deep stem in a Sequential: conv, bn, relu, conv, bn, relu, conv."""
    return {
        "backbone.conv1.conv1": f"{stem}.0",
        "backbone.conv1.bn1": f"{stem}.1",
        "backbone.conv1.conv2": f"{stem}.3",
        "backbone.conv1.bn2": f"{stem}.4",
        "backbone.conv1.conv3": f"{stem}.6",
        "backbone.bn1": last_norm,
    }


def blocks(rows: Mapping[str, str], conv: str, norm: str) -> dict[str, str]:
    """Return the names of convolutions and BatchNorms, from the names of the modules that hold one of each."""
    return {
        **{f"{ours}.conv": f"{theirs}.{conv}" for ours, theirs in rows.items()},
        **{f"{ours}.bn": f"{theirs}.{norm}" for ours, theirs in rows.items()},
    }


def of_backbone(modules: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    """Return the rows of the backbone, without an upstream prefix."""
    return {ours: theirs.removeprefix(prefix) for ours, theirs in modules.items() if ours.startswith("backbone.")}


def backbone_of(schema: Schema, prefix: str, **fields: Any) -> Schema:
    """Return the schema of a network's backbone alone, without an upstream prefix."""
    return Schema(
        modules=of_backbone(schema.modules, prefix),
        norm_leaves=schema.norm_leaves,
        fixed_config={name: value for name, value in schema.fixed_config.items() if name in OF_BACKBONE},
        assumptions=OF_CLASSIFICATION,
        formats=schema.formats,
        backbone_only=True,
        **fields,
    )


def classifier(name: str) -> dict[str, Callable[[DANetConfig], tuple[int, ...]]]:
    """Return the shapes of ImageNet's classifier, which no DANet uses."""
    return {
        f"{name}.weight": lambda config: (CLASSES, config.stage_channels[3]),
        f"{name}.bias": lambda config: (CLASSES,),
    }
