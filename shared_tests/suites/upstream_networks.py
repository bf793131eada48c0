"""A small network of each upstream project, one for each layout of names, and its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from danet_common import VARIANTS, Checkpoint, DANetConfig
from shared_tests.fixtures.synthetic import synthetic_tensors
from weights_convert.formats import ForeignWriter, endings_of, safetensors_file, writer_of
from weights_convert.mapping.apply import from_canonical
from weights_convert.mapping.schema import Schema
from weights_convert.schemas import SCHEMAS

TINY = VARIANTS["danet_tiny"].replace(num_classes=5, block="bottleneck", layers=(1, 1, 1, 3))
DEEP = TINY.replace(stem="deep", stem_widths=(4, 4, 8))
MMSEG = DEEP.replace(
    auxiliary="fcn",
    auxiliary_channels=10,
    upsample_grid="half_pixel",
    class_names=("road", "sky", "person", "car", "tree"),
    palette=((128, 64, 128), (70, 130, 180), (220, 20, 60), (0, 0, 142), (107, 142, 35)),
)
PADDLESEG = DEEP.replace(
    avg_down=True,
    contract_dilation=False,
    auxiliary="linear",
    upsample_grid="asymmetric",
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
DRANET = DEEP.replace(
    multi_grid=(1, 2, 4),
    context=("compact_position", "compact_channel"),
    decoder="gating",
    branch_classifiers=False,
    auxiliary="fcn",
    auxiliary_channels=10,
    reduction=4,
    query_channels=None,
)
ELEMENT = DEEP.replace(dropout="element")

NETWORKS: Mapping[tuple[str, str], DANetConfig] = {
    ("official", ""): DEEP,
    ("dranet", "today"): DRANET,
    ("dranet", "older"): DRANET,
    ("tramac", ""): ELEMENT,
    ("torchvision", ""): TINY,
    ("mmseg", "ResNetV1c"): MMSEG,
    ("mmseg", "ResNet"): MMSEG.replace(stem="plain", stem_widths=(8,), upsample_grid="corners", multi_grid=(1, 2, 4)),
    ("mmseg", "ResNetV1d"): MMSEG.replace(avg_down=True, auxiliary="none", auxiliary_channels=256),
    ("paddleseg", ""): PADDLESEG,
    ("gluoncv", "without dropout"): DEEP.replace(dropout_rate=0.0),
    ("gluoncv", "with dropout"): TINY,
    ("imgclsmob", "numbered"): ELEMENT,
    ("imgclsmob", "named"): ELEMENT,
    ("imgclsmob", "tf2cv"): ELEMENT.replace(upsample_grid="half_pixel"),
    ("timm", "plain"): TINY,
    ("timm", "c or s"): DEEP,
    ("timm", "d"): DEEP.replace(avg_down=True, avg_down_dilated=True),
    ("mmseg_backbone", "ResNetV1c"): DEEP,
    ("mmseg_backbone", "ResNetV1d"): DEEP.replace(avg_down=True),
    ("paddle_backbone", ""): DEEP.replace(avg_down=True, contract_dilation=False),
}


def schema_of(name: str, layout: str = "") -> Schema:
    """A layout of an upstream project, by default the first."""
    return next(schema for schema in SCHEMAS if schema.name == name and layout in ("", schema.layout))


def checkpoint_of(name: str, layout: str = "") -> Checkpoint:
    """The small network with synthetic weights, with only the classifiers that upstream has."""
    schema = schema_of(name, layout)
    config = NETWORKS[name, schema.layout]
    tensors = dict(synthetic_tensors(config))
    tensors |= {key: tensors[str(schema.sharing(key))] for key in tensors if schema.sharing(key) is not None}
    return Checkpoint(config, tensors, source={"schema": name, "layout": schema.layout})


def named_tensors(name: str, layout: str = "") -> dict[str, np.ndarray]:
    """Return the network's tensors under the upstream names."""
    return from_canonical(schema_of(name, layout), checkpoint_of(name, layout), lambda line: None)


def write_upstream_checkpoint(
    folder: Path, name: str, layout: str = "", changes: Mapping[str, np.ndarray | None] | None = None
) -> Path:
    """Write the network's file in the upstream format; `changes` replaces tensors, or drops them (None)."""
    tensors = {**named_tensors(name, layout), **(changes or {})}
    path = folder / f"{name}{endings_of(schema_of(name, layout).formats or (safetensors_file.NAME,))[0]}"
    writer = writer_of(path)
    assert isinstance(writer, ForeignWriter)
    writer.write_foreign({key: array for key, array in tensors.items() if array is not None}, path)
    return path
