"""Read config fields from the `meta` of an MMSegmentation file, and write such a `meta`.

MMEngine stores the configuration's text in `meta.cfg` and the classes in `meta.dataset_meta`. MMCV 1.x stores
them in `meta.config`, `meta.CLASSES` and `meta.PALETTE`. Missing values have MMSegmentation's defaults, see
mmseg/models/backbones/resnet.py, version 1.2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from danet_common import CheckpointError, DANetConfig
from danet_common.config.former_names import right_names
from weights_convert.containers.config_text import read_config_text, write_config_text
from weights_convert.containers.pickled_arrays import PickledArray

STRIDES = {(1, 2, 1, 1): 8, (1, 2, 2, 1): 16, (1, 2, 2, 2): 32}  # strides of the four stages -> output stride
DILATIONS = {8: (1, 1, 2, 4), 16: (1, 1, 1, 2), 32: (1, 1, 1, 1)}
DIGITS = 9  # decimal places of mean and std: their pixels are 0..255, ours 0..1
DEPTHS = {  # ResNets with a name in MMSegmentation
    ("basic", (2, 2, 2, 2)): 18,
    ("basic", (3, 4, 6, 3)): 34,
    ("bottleneck", (3, 4, 6, 3)): 50,
    ("bottleneck", (3, 4, 23, 3)): 101,
    ("bottleneck", (3, 8, 36, 3)): 152,
}


def from_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return config fields from the meta. Raise CheckpointError if no DANetConfig describes its network."""
    meta = metadata.get("meta")
    if not isinstance(meta, dict):
        return {}
    config = read_config_text(meta.get("cfg", meta.get("config")))
    try:
        return _classes(meta) | _network(_dict(config, "model")) | _input(config)
    except (TypeError, ArithmeticError) as error:
        raise CheckpointError(f"the configuration in its meta is damaged: {error}") from None


def _classes(meta: Mapping[str, Any]) -> dict[str, Any]:
    data_set = _dict(meta, "dataset_meta")
    names = _list(data_set.get("classes", meta.get("CLASSES")))
    palette = _list(data_set.get("palette", meta.get("PALETTE")))
    fields: dict[str, Any] = {}
    if names and all(type(name) is str for name in names):
        fields["class_names"] = right_names(tuple(names))
    if palette and all(_is_colour(colour) for colour in palette):
        fields["palette"] = tuple(tuple(colour) for colour in palette)
    return fields


def _network(model: Mapping[str, Any]) -> dict[str, Any]:
    backbone, head = _dict(model, "backbone"), _dict(model, "decode_head")
    fields: dict[str, Any] = {}
    if head:
        fields["upsample_grid"] = "corners" if head.get("align_corners", False) else "half_pixel"
        fields["dropout_rate"] = head.get("dropout_ratio", 0.1)
    if backbone:
        if backbone.get("style", "pytorch") != "pytorch":
            raise CheckpointError(
                "its backbone has strides on the 1x1 convolutions (style='caffe'); ours has them on the 3x3"
            )
        fields |= _dilations(backbone)
    if head and backbone:
        epsilons = {_dict(part, "norm_cfg").get("eps", 1e-5) for part in (backbone, head)}
        if len(epsilons) > 1:
            raise CheckpointError(f"its BatchNorms have epsilons {sorted(epsilons)}; a DANet has one epsilon")
        fields["batch_norm_epsilon"] = epsilons.pop()
    return fields


def _dilations(backbone: Mapping[str, Any]) -> dict[str, Any]:
    strides, dilations = (
        tuple(backbone.get(name, default)) for name, default in (("strides", (1, 2, 2, 2)), ("dilations", (1, 1, 1, 1)))
    )
    stride = STRIDES.get(strides)
    if stride is None or dilations != DILATIONS[stride]:
        raise CheckpointError(
            f"its backbone has strides {strides} and dilations {dilations}, which a DANetConfig cannot have"
        )
    grid = backbone.get("multi_grid")  # dilations; ours are factors on layer4's dilation
    if grid is not None and any(dilation % dilations[3] for dilation in grid):
        raise CheckpointError(f"its layer4 has dilations {tuple(grid)}, which are not multiples of {dilations[3]}")
    return {
        "output_stride": stride,
        "contract_dilation": bool(backbone.get("contract_dilation", False)),
        "multi_grid": None if grid is None else tuple(dilation // dilations[3] for dilation in grid),
    }


def _input(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return mean and std, from the preprocessor (MMSegmentation 1.x) or `img_norm_cfg` (0.x)."""
    preprocessor = _dict(config, "data_preprocessor") or _dict(_dict(config, "model"), "data_preprocessor")
    source = preprocessor or _dict(config, "img_norm_cfg")
    values = {name: _list(source.get(name)) for name in ("mean", "std")}
    if not all(values.values()):
        return {}
    if not source.get("bgr_to_rgb", source.get("to_rgb", True)):
        raise CheckpointError("its network takes BGR images; only RGB networks can be converted")
    return {name: tuple(round(part / 255, DIGITS) for part in parts) for name, parts in values.items()}


def trainer_object(state_dict: Mapping[str, np.ndarray], config: DANetConfig) -> dict[str, Any]:
    """Return the object of MMEngine's runner without the optimizer, with the model's configuration."""
    meta: dict[str, Any] = {"epoch": 0, "iter": 0, "cfg": write_config_text(_configuration(config))}
    if config.class_names is not None:
        meta["dataset_meta"] = {"classes": config.class_names}
        if config.palette is not None:
            meta["dataset_meta"]["palette"] = [list(colour) for colour in config.palette]
    return {"meta": meta, "state_dict": dict(state_dict)}


def _configuration(config: DANetConfig) -> dict[str, Any]:
    """Return the configuration from which MMSegmentation builds this model."""
    stride = config.output_stride
    norm = {"type": "SyncBN", "requires_grad": True, "eps": config.batch_norm_epsilon}
    backbone: dict[str, Any] = {
        "type": "ResNet" if config.stem == "plain" else "ResNetV1d" if config.avg_down else "ResNetV1c",
        "depth": DEPTHS.get((config.block, config.layers)),
        "in_channels": config.in_channels,
        "stem_channels": config.stem_widths[-1],
        "strides": next(strides for strides, known in STRIDES.items() if known == stride),
        "dilations": DILATIONS[stride],
        "contract_dilation": config.contract_dilation,
        "norm_cfg": norm,
    }
    if config.multi_grid is not None:
        blocks = range(config.layers[3])
        factors = [config.multi_grid[index % len(config.multi_grid)] for index in blocks]
        backbone["multi_grid"] = tuple(factor * DILATIONS[stride][3] for factor in factors)
    head = {
        "in_channels": config.stage_channels[3],
        "in_index": 3,
        "channels": config.inner_channels,
        "pam_channels": config.attention_channels,
        "dropout_ratio": config.dropout_rate,
        "num_classes": config.num_classes,
        "norm_cfg": norm,
        "align_corners": config.upsample_grid == "corners",
    }
    scale = {name: [round(255 * part, DIGITS) for part in getattr(config, name)] for name in ("mean", "std")}
    model: dict[str, Any] = {
        "type": "EncoderDecoder",
        "data_preprocessor": {"type": "SegDataPreProcessor", **scale, "bgr_to_rgb": True},
        "backbone": backbone,
        "decode_head": {"type": "DAHead", **head},
    }
    if config.auxiliary == "fcn":
        model["auxiliary_head"] = {
            "type": "FCNHead",
            "num_convs": 1,
            "concat_input": False,
            **{name: value for name, value in head.items() if name != "pam_channels"},
            "in_channels": config.stage_channels[2],
            "in_index": 2,
            "channels": config.auxiliary_channels,
        }
    return {"model": model, "default_scope": "mmseg"}


def _dict(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    """Return a list or tuple as a list; [] for any other value. MMSegmentation's own palettes are arrays."""
    if isinstance(value, PickledArray) and value.array is not None:
        return list(value.array.tolist()) if value.array.ndim else []
    return list(value) if isinstance(value, list | tuple) else []


def _is_colour(colour: Any) -> bool:
    parts = colour if isinstance(colour, list | tuple) else ()
    return len(parts) == 3 and all(type(part) is int and 0 <= part <= 255 for part in parts)
