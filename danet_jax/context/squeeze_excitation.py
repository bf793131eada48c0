"""Squeeze-and-excitation (Hu et al., CVPR 2018, section 3)."""

from __future__ import annotations

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common.numerics import Numerics
from danet_common.reduction import reduced
from danet_common.stages import NO_STAGES, Stages
from danet_jax.layers import Conv, widen


class SqueezeExcitation(nnx.Module):
    """Each channel is weighed by what all channels are on average.

    out = gate * x,   gate = sigmoid(expand(relu(reduce(mean of x over the positions))))

    `reduce` and `expand` are the paper's W1 and W2 (eq. 3), with biases, as in the authors' models. Copies that compute
    the mean and then make the gate of `x` itself are another module.
    """

    def __init__(self, channels: int, reduction: int, numerics: Numerics) -> None:
        hidden = reduced(channels, reduction)
        self.reduce = Conv(channels, hidden, 1, numerics, bias=True)
        self.expand = Conv(hidden, channels, 1, numerics, bias=True)

    def __call__(self, x: Float[Array, "b h w c"], stages: Stages = NO_STAGES) -> Float[Array, "b h w c"]:
        mean = jnp.mean(widen(x), (1, 2), keepdims=True).astype(x.dtype)  # the squeeze
        gate = jax.nn.sigmoid(self.expand(jax.nn.relu(self.reduce(mean))))
        return stages.keep("squeeze_excitation_gate", gate) * x
