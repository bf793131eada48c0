"""What dropout keeps, from one counter-based generator, so that all frameworks drop the same.

Every output of the network has one dropout, before its classifier. Each picture's mask depends on the seed, the
step, the output and the picture's row in the global batch: a process that has some of the rows makes only theirs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from danet_common.config import DANetConfig

NO_MASKS: Mapping[str, Any] = {}  # the default of a network: its framework draws for itself


def dropout_masks(
    config: DANetConfig, seed: int, step: int, rows: range, height: int, width: int
) -> dict[str, Bool[np.ndarray, ...]]:
    """Output's name -> what its dropout keeps in these rows of a step's batch, for pictures of this size.

    (N, C) where whole channels are dropped, (N, C, H, W) where single values are; empty at rate 0.
    """
    if config.dropout_rate == 0:
        return {}
    masks = {}
    for output in config.outputs:
        shape: tuple[int, ...] = (_channels(config, output),)
        if config.dropout == "element":
            stride = _stride(config, output)
            shape = (*shape, _reduced(height, stride), _reduced(width, stride))
        masks[output] = np.stack([_kept((seed, step, output, row), shape, config.dropout_rate) for row in rows])
    return masks


def _channels(config: DANetConfig, output: str) -> int:
    """Of the features that this output's classifier sees."""
    if output != "aux":
        return config.fused_channels if output == "fused" else config.inner_channels
    return config.auxiliary_channels if config.auxiliary == "fcn" else config.stage_channels[3]


def _stride(config: DANetConfig, output: str) -> int:
    """How much smaller than the picture they are; the small FCN stands on layer3, the decoder ends at layer1's size."""
    if output == "fused" and config.decoder == "gating":
        return 4
    return min(config.output_stride, 16) if output == "aux" and config.auxiliary == "fcn" else config.output_stride


def _reduced(size: int, stride: int) -> int:
    """Each of the backbone's strides of 2 rounds up; together they round up once."""
    return -(-size // stride)


def _kept(key: tuple[int | str, ...], shape: tuple[int, ...], rate: float) -> Bool[np.ndarray, ...]:
    """One picture's: each value is kept with probability 1 - rate. Raw bits only, which NumPy keeps for ever."""
    digest = hashlib.sha256(":".join(["danet-dropout", *map(str, key)]).encode()).digest()
    raw = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(math.prod(shape))
    return ((raw >> np.uint64(11)) * 2.0**-53 >= rate).reshape(shape)
