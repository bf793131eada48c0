"""Map canonical names to groups of Keras 3's HDF5 files and back.

Keras stores a subclassed model by attribute path, and a layer's variables as `vars/0`, `vars/1`, ... in order of
creation. In a list, it names a layer after its class, with a count from the second on.
Source: keras/src/saving/saving_lib.py, Keras 3.15.
"""

from __future__ import annotations

import re

from danet_common import DANetConfig, Parameter
from danet_common.checkpoint.parameter_layouts import TORCH
from danet_common.config.tensors import Kind

NORM: tuple[Kind, ...] = ("scale", "shift", "mean", "variance", "count")
CONVOLUTION: tuple[Kind, ...] = ("kernel", "bias")
FACTORS: dict[str, tuple[Kind, ...]] = {"attention": ("gamma",), "decoder": ("gain",)}  # by the layer's last word
BLOCK_CLASSES = {"basic": "basic_block", "bottleneck": "bottleneck"}
SHORTCUT_CLASSES = ("conv", "batch_norm")  # layers of `downsample`, a list of two

BLOCK = re.compile(rf"({'|'.join(BLOCK_CLASSES.values())})(?:_([1-9][0-9]*))?")
STAGE = re.compile(r"layer[1-4]")
NORM_NAME = re.compile(r"bn[1-9]?|batch_norm|[a-z_]+_bn")


def group_of(parameter: Parameter, config: DANetConfig) -> tuple[str, int]:
    """Return the group of a tensor's layer, and the index of the tensor in it."""
    parts = parameter.name.split(".")[:-1]
    for place in range(1, len(parts)):
        if STAGE.fullmatch(parts[place - 1]):
            count = parts[place]
            parts[place] = BLOCK_CLASSES[config.block] + ("" if count == "0" else f"_{count}")
        elif parts[place - 1] == "downsample":
            parts[place] = SHORTCUT_CLASSES[int(parts[place])]
    kinds = next(kinds for kinds in (NORM, *FACTORS.values(), CONVOLUTION) if parameter.kind in kinds)
    return "/".join(parts), kinds.index(parameter.kind)


def parameter_at(group: str, number: int) -> tuple[str, Kind] | None:
    """Return canonical name and kind of a tensor in the file; None if no network has it."""
    parts = group.split("/")
    kinds = NORM if NORM_NAME.fullmatch(parts[-1]) else FACTORS.get(parts[-1].rpartition("_")[2], CONVOLUTION)
    if number >= len(kinds):
        return None
    for place in range(1, len(parts)):
        if STAGE.fullmatch(parts[place - 1]):
            match = BLOCK.fullmatch(parts[place])
            if match is None:
                return None
            parts[place] = match[2] or "0"
        elif parts[place - 1] == "downsample":
            if parts[place] not in SHORTCUT_CLASSES:
                return None
            parts[place] = str(SHORTCUT_CLASSES.index(parts[place]))
    return ".".join((*parts, TORCH[kinds[number]])), kinds[number]
