"""Initial weights, the same in all frameworks.

Backbone: He normal over the fan out (He et al., 2015), as in torchvision and PyTorch-Encoding
(junfu1115/DANet 97f0c42, encoding/dilated/resnet.py:168-174).
Head and auxiliary head: PyTorch's default, which the authors leave alone (97f0c42, encoding/models/danet.py:58-82, and
b0a0fa0, encoding/models/sseg/dran.py): kernels and biases uniform in +-1 / sqrt(fan_in), the fan in of the convolution.
BatchNorm: the identity. Gammas: 0. The gain of the gating decoder: 1. The scale with which the non-local block ends in
a sum: 0 (Goyal et al., 2017, section 5.1), so that training starts from the plain network.

That is the scheme `pytorch`. The other schemes draw the head as other projects do. All draw the backbone alike, since
their recipes start from a trained backbone.

mmseg   ConvModules by He's rule over the fan out, `conv_seg` N(0, 0.01) with biases 0, all else PyTorch's default
        (mmcv 013f784, mmcv/cnn/bricks/conv_module.py; mmsegmentation 0255eb9, decode_heads/decode_head.py)
paddle  He normal over the fan in, biases 0: Paddle's default (Paddle, python/paddle/nn/layer/conv.py; PaddleSeg
        d7975e7, paddleseg/models/danet.py sets no other)
mxnet   uniform in +-0.07, biases 0: `initialize()`'s default (gluon-cv 5677756, gluoncv/model_zoo/danet.py:42)

Each tensor has its own random stream, keyed by seed and name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from danet_common.config import DANetConfig
from danet_common.config.parameters import parameters
from danet_common.config.tensors import Parameter
from danet_common.numerics.keyed_random import philox

Scheme = Literal["pytorch", "mmseg", "paddle", "mxnet"]

LAST_SCALE = "residual_bn.weight"
MMSEG_CLASSIFIERS = ("head.fused_classifier", "auxiliary.classifier")  # its `conv_seg`
MMSEG_DEVIATION = 0.01
MXNET_BOUND = 0.07


@dataclass(frozen=True)
class Distribution:
    """Distribution of a tensor's initial values.

    kind  constant: `size` everywhere; uniform: between -`size` and `size`; normal: of mean 0 and deviation `size`
    """

    kind: Literal["constant", "uniform", "normal"]
    size: float


def initial_tensors(config: DANetConfig, seed: int = 0, scheme: Scheme = "pytorch") -> dict[str, np.ndarray]:
    """Return a network's tensors before training by canonical name: float32, or int64 for the counters."""
    return drawn(parameters(config), seed, scheme)


def drawn(table: Mapping[str, Parameter], seed: int | None = 0, scheme: Scheme = "pytorch") -> dict[str, np.ndarray]:
    """Return the tensors of a network or a module before training, by name.

    seed  of all random numbers; None: kernels and biases are 0
    """
    return {name: initial_tensor(name, table, seed, scheme) for name in table}


def initial_tensor(
    name: str, table: Mapping[str, Parameter], seed: int | None = 0, scheme: Scheme = "pytorch"
) -> np.ndarray:
    """Draw a tensor of `table`, which holds at least the tensors of its layer."""
    if seed is None and table[name].kind in ("kernel", "bias"):
        return np.zeros(table[name].shape, np.float32)
    generator = np.random.Generator(philox("danet-initial", str(seed), name))
    return draw(initial_distribution(name, table, scheme), table[name], generator)


def initial_distribution(name: str, table: Mapping[str, Parameter], scheme: Scheme = "pytorch") -> Distribution:
    """Return the distribution of a tensor of `table`, which holds at least the tensors of its layer.

    Names that start with `backbone.` belong to the backbone, all others to a head.
    """
    parameter = table[name]
    if parameter.kind not in ("kernel", "bias"):
        starts_at_one = parameter.kind in ("scale", "variance", "gain") and not name.endswith(LAST_SCALE)
        return Distribution("constant", 1.0 if starts_at_one else 0.0)
    layer = name.rpartition(".")[0]
    kernel = table[f"{layer}.weight".removeprefix(".")]
    in_convolution_and_norm = layer.endswith(".conv")  # mmcv's ConvModule
    if name.startswith("backbone.") or (scheme == "mmseg" and in_convolution_and_norm):
        return _normal(math.sqrt(2 / _fan_out(kernel)), parameter)
    if scheme == "mmseg" and layer in MMSEG_CLASSIFIERS:
        return _normal(MMSEG_DEVIATION, parameter)
    if scheme == "paddle":
        return _normal(math.sqrt(2 / _fan_in(kernel)), parameter)
    if scheme == "mxnet":
        return Distribution("uniform", MXNET_BOUND) if parameter.kind == "kernel" else Distribution("constant", 0.0)
    return Distribution("uniform", 1 / math.sqrt(_fan_in(kernel)))


def draw(distribution: Distribution, parameter: Parameter, generator: np.random.Generator) -> np.ndarray:
    """Draw a tensor in canonical layout: float32, or int64 for a counter."""
    if distribution.kind == "constant":
        dtype = np.int64 if parameter.kind == "count" else np.float32
        return np.full(parameter.shape, distribution.size, dtype)
    if distribution.kind == "uniform":
        values = 2 * generator.random(parameter.shape, np.float32) - 1  # exact in float32
    else:
        values = generator.standard_normal(parameter.shape, np.float32)
    return values * np.float32(distribution.size)


def _normal(deviation: float, parameter: Parameter) -> Distribution:
    """Return the distribution of a kernel, and for a bias 0."""
    return Distribution("normal", deviation) if parameter.kind == "kernel" else Distribution("constant", 0.0)


def _fan_in(kernel: Parameter) -> int:
    return math.prod(kernel.shape[1:])


def _fan_out(kernel: Parameter) -> int:
    return kernel.shape[0] * math.prod(kernel.shape[2:])
