"""Dropout masks from one counter-based generator, so that all frameworks drop the same values.

Every output of the network has one dropout, before its classifier. Each image's mask depends on the seed, the
step, the output and the image's row in the global batch: a process that has some of the rows makes only theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from danet_common.config import DANetConfig
from danet_common.numerics.keyed_random import philox

NO_MASKS: Mapping[str, Any] = {}  # the default of a network: its framework draws for itself


def dropout_masks(
    config: DANetConfig, seed: int, step: int, rows: range, height: int, width: int
) -> dict[str, Bool[np.ndarray, ...]]:
    """Return by output what its dropout keeps in these rows of a step's batch, for images of this size.

    (N, C) where whole channels are dropped, (N, C, H, W) where single values are; empty at rate 0.
    """
    if config.dropout_rate == 0:
        return {}
    masks = {}
    for output in config.outputs:
        channels, stride = _features(config, output)
        shape: tuple[int, ...] = (channels,)
        if config.dropout == "element":  # each stride of 2 rounds up; together they round up once
            shape = (channels, -(-height // stride), -(-width // stride))
        masks[output] = np.stack([_kept((seed, step, output, row), shape, config.dropout_rate) for row in rows])
    return masks


def _features(config: DANetConfig, output: str) -> tuple[int, int]:
    """Return the channels of the features that an output's classifier sees, and their stride."""
    if output == "fused":
        return config.fused_channels, 4 if config.decoder == "gating" else config.output_stride
    if output != "aux":
        return config.inner_channels, config.output_stride
    if config.auxiliary == "fcn":  # it reads layer3
        return config.auxiliary_channels, min(config.output_stride, 16)
    return config.stage_channels[3], config.output_stride


def _kept(key: tuple[int | str, ...], shape: tuple[int, ...], rate: float) -> Bool[np.ndarray, ...]:
    """Return one image's mask: each value is kept with probability 1 - rate."""
    raw = philox("danet-dropout", *key).random_raw(math.prod(shape))
    return ((raw >> np.uint64(11)) * 2.0**-53 >= rate).reshape(shape)
