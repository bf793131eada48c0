"""Initial weights, drawn once and the same in every framework.

Backbone: He normal over the fan out (He et al., 2015), as in torchvision and PyTorch-Encoding
(junfu1115/DANet 97f0c42, encoding/dilated/resnet.py:169-174).
Head and auxiliary head: PyTorch's default, which the authors leave alone (97f0c42, encoding/models/danet.py:58-82, and
b0a0fa0, encoding/models/sseg/dran.py): kernels and biases uniform in +-1 / sqrt(fan_in), the fan in of the convolution.
BatchNorm: the identity. Gammas: 0. The gain of the gating decoder: 1. The scale with which the non-local block ends in
a sum: 0 (Goyal et al., 2017, section 5.1), so that training starts from the plain network.

Each tensor has its own counter-based stream keyed by seed and name, so it depends on no other tensor.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from danet_common.config import DANetConfig
from danet_common.parameters import Parameter, parameters

LAST_SCALE = "residual_bn.weight"


@dataclass(frozen=True)
class Distribution:
    """The distribution of the initial values of one tensor.

    kind  constant: `size` everywhere; uniform: between -`size` and `size`; normal: of mean 0 and deviation `size`
    """

    kind: Literal["constant", "uniform", "normal"]
    size: float


def initial_tensors(config: DANetConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Canonical name -> float32 array (int64 for the counters) of a network before training."""
    return drawn(parameters(config), seed)


def drawn(table: Mapping[str, Parameter], seed: int = 0) -> dict[str, np.ndarray]:
    """Name -> array before training, for the tensors of a network or of one of its modules."""
    return {name: initial_tensor(name, table, seed) for name in table}


def initial_tensor(name: str, table: Mapping[str, Parameter], seed: int = 0) -> np.ndarray:
    """Draw one tensor of `table`, which holds the tensors of its layer at least."""
    return draw(initial_distribution(name, table), table[name], _stream(name, seed))


def initial_distribution(name: str, table: Mapping[str, Parameter]) -> Distribution:
    """Return the distribution of one tensor of `table`, which holds the tensors of its layer at least.

    Names that start with `backbone.` belong to the backbone; all others belong to a head.
    """
    parameter = table[name]
    if name.startswith("backbone."):
        if parameter.kind == "kernel":
            return Distribution("normal", math.sqrt(2 / _fan_out(parameter)))
    elif parameter.kind in ("kernel", "bias"):
        return Distribution("uniform", 1 / math.sqrt(_fan_in(table[_kernel_of(name)])))
    starts_at_one = parameter.kind in ("scale", "variance", "gain") and not name.endswith(LAST_SCALE)
    return Distribution("constant", 1.0 if starts_at_one else 0.0)


def draw(distribution: Distribution, parameter: Parameter, generator: np.random.Generator) -> np.ndarray:
    """Draw the values of one tensor in canonical layout: float32, or int64 for a counter."""
    if distribution.kind == "constant":
        dtype = np.int64 if parameter.kind == "count" else np.float32
        return np.full(parameter.shape, distribution.size, dtype)
    if distribution.kind == "uniform":
        values = 2 * generator.random(parameter.shape, np.float32) - 1  # exact in float32
    else:
        values = generator.standard_normal(parameter.shape, np.float32)
    return values * np.float32(distribution.size)


def _kernel_of(name: str) -> str:
    """The name of the kernel of the convolution that a kernel or bias belongs to."""
    return f"{name.rpartition('.')[0]}.weight".removeprefix(".")


def _fan_in(kernel: Parameter) -> int:
    return math.prod(kernel.shape[1:])


def _fan_out(kernel: Parameter) -> int:
    return kernel.shape[0] * math.prod(kernel.shape[2:])


def _stream(name: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"danet-initial:{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
