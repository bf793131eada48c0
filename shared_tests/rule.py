"""Weights and inputs for tests, from a rule instead of a file: the same bits on every machine.

Every tensor is drawn from a Philox counter keyed by the SHA-256 of its own name. A draw is the top 24
bits of a counter block, so the unit values are exact in float32, and the only roundings are one
product or sum in float64 and one to float32, both fixed by IEEE 754. Every value is float32-representable:
networks of any precision start from the same numbers.

The ranges are calibrated so that nothing is hidden: activations stay of order one through 50 blocks,
both softmaxes are neither flat nor saturated, both gammas count, and no two tensors are alike.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danet_common.config import DANetConfig
from danet_common.parameters import Parameter, parameters

FACTORS = {
    "head.position_attention.gamma": 0.7,
    "head.channel_attention.gamma": -0.6,
    "head.self_attention_attention.gamma": 0.4,
    "head.joint_position_attention.gamma": 0.8,
    "head.joint_channel_attention.gamma": -0.9,
    "head.compact_position_attention.gamma": 0.75,
    "head.compact_channel_attention.gamma": -0.65,
    "head.decoder.gain": 1.3,
}
RESIDUAL_SCALE = 0.6  # of the last BatchNorms of a layer's blocks together: the sum neither grows nor drowns
CHANNEL_SCALE = 0.15  # of channel_in: channel energies are unscaled sums over H*W and saturate at order one
SMALL = ("head.channel_in.", "head.joint_channel_in.", "head.compact_channel_in.")
GAUSSIAN_SCALE = 0.25  # of non_local_in, where the features themselves are queries and keys


def rule_tensors(config: DANetConfig) -> dict[str, NDArray[Any]]:
    """Canonical name -> float32 array (int64 for the counts), in the order of the forward pass."""
    return {name: _tensor(config, parameter) for name, parameter in parameters(config).items()}


def rule_input(config: DANetConfig, batch: int, height: int, width: int) -> NDArray[np.float32]:
    """A normalised image batch (N, C, H, W): noise of variance 1, different at every pixel."""
    shape = (batch, config.in_channels, height, width)
    return (_uniform("input", shape) * math.sqrt(3)).astype(np.float32)


def rule_array(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Uniform values in [-1, 1) keyed by `name`: cotangents, directions and whatever else a test needs."""
    return _uniform(name, shape).astype(np.float32)


def rule_positions(name: str, count: int, size: int) -> NDArray[np.int64]:
    """`count` positions below `size`, keyed by `name`; some may repeat."""
    return (_raw(f"positions:{name}", count) % np.uint64(size)).astype(np.int64)


def _tensor(config: DANetConfig, parameter: Parameter) -> NDArray[Any]:
    name, shape = parameter.name, parameter.shape
    if parameter.is_factor:
        return np.full(shape, FACTORS[name], np.float32)
    if parameter.kind == "count":
        return np.asarray(int.from_bytes(_digest(name)[:2], "little"), np.int64)
    centre, spread = _range(config, parameter)
    return (centre + _uniform(name, shape) * spread).astype(np.float32)


def _range(config: DANetConfig, parameter: Parameter) -> tuple[float, float]:
    """Centre and half-width of the interval that the tensor's values fill."""
    name = parameter.name
    if parameter.kind == "kernel":
        return 0.0, _kernel_gain(parameter) * math.sqrt(6 / math.prod(parameter.shape[1:]))
    if parameter.kind == "bias":
        return 0.0, 0.5 * (CHANNEL_SCALE if name == "head.joint_channel_attention.projections.bias" else 1.0)
    if parameter.kind == "mean":
        return 0.0, 0.2
    if parameter.kind == "variance":
        return 1.5, 0.5
    factor = _norm_factor(config, name)
    return (factor, 0.3 * factor) if parameter.kind == "scale" else (0.0, 0.3 * factor)


def _kernel_gain(parameter: Parameter) -> float:
    """Factor on He's bound sqrt(6 / fan_in), which keeps the variance through a ReLU."""
    name = parameter.name
    if name.endswith((".query.weight", ".key.weight")):
        return 1.1 * parameter.shape[0] ** -0.25  # the energy is a sum over the query channels
    if name in tuple(f"head.{kind}_out.conv.weight" for kind in ("channel", "joint_channel", "compact_channel")):
        return 1 / CHANNEL_SCALE
    return 1.0


def _norm_factor(config: DANetConfig, name: str) -> float:
    last = {"basic": "bn2", "bottleneck": "bn3"}[config.block]
    if name.startswith("backbone.layer") and name.split(".")[-2] == last:
        layer = int(name.removeprefix("backbone.layer")[0])
        return RESIDUAL_SCALE / math.sqrt(config.layers[layer - 1])
    if name.startswith("head.non_local_in.") and config.non_local_form == "gaussian":
        return GAUSSIAN_SCALE
    return CHANNEL_SCALE if name.startswith(SMALL) else 1.0


def _uniform(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Multiples of 2**-23 in [-1, 1)."""
    signed = (_raw(name, math.prod(shape)) >> np.uint64(40)).astype(np.int64) - 2**23
    return signed.reshape(shape) / 2.0**23


def _raw(name: str, count: int) -> NDArray[np.uint64]:
    return np.random.Philox(key=int.from_bytes(_digest(name)[:16], "little")).random_raw(count)


def _digest(name: str) -> bytes:
    return hashlib.sha256(f"danet-rule:{name}".encode()).digest()
