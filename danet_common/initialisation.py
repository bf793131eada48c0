"""Initial weights, drawn once and the same in every framework.

Convolutions: He normal over the fan out (He et al., 2015), as torchvision's ResNet; biases zero; BatchNorm the
identity; one is the gain of the gating decoder; zero are gammas, and the scale with which the non-local block ends in a
sum (Goyal et al., 2017, section 5.1), so that training starts from the plain network. Each tensor has
its own counter-based stream keyed by seed and name, so it depends on nothing else.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

from danet_common.config import DANetConfig
from danet_common.parameters import Parameter, parameters

LAST_SCALE = "residual_bn.weight"


def initial_tensors(config: DANetConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Canonical name -> float32 array (int64 for the counters) of a network before training."""
    return {name: initial_tensor(parameter, seed) for name, parameter in parameters(config).items()}


def initial_tensor(parameter: Parameter, seed: int = 0) -> np.ndarray:
    """One tensor before training."""
    if parameter.kind == "kernel":
        out_channels, _, height, width = parameter.shape
        deviation = math.sqrt(2 / (out_channels * height * width))
        return _stream(parameter.name, seed).standard_normal(parameter.shape, np.float32) * np.float32(deviation)
    if parameter.kind == "count":
        return np.zeros(parameter.shape, np.int64)
    starts_at_zero = parameter.name.endswith(LAST_SCALE)
    fill = 1 if parameter.kind in ("scale", "variance", "gain") and not starts_at_zero else 0
    return np.full(parameter.shape, fill, np.float32)


def _stream(name: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"danet-initial:{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
