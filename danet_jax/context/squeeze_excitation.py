"""Squeeze-and-excitation (Hu et al., CVPR 2018, section 3)."""

from __future__ import annotations

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common.config.context_sizes import reduced
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_jax.primitives import PLAIN, upcast


class SqueezeExcitation(nnx.Module):
    """Each channel is weighed by what all channels are on average.

    out = gate * x,   gate = sigmoid(expand(relu(reduce(mean of x over the positions))))

    `reduce` and `expand` are the paper's W1 and W2 (eq. 3), with biases, as in the authors' models. Copies that compute
    the mean and then make the gate of `x` itself are another module.
    """

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        hidden = reduced(channels, reduction)
        self.reduce = layers.conv(channels, hidden, 1, bias=True)
        self.expand = layers.conv(hidden, channels, 1, bias=True)

    def __call__(self, x: Float[Array, "b h w c"], taps: Taps = NO_TAPS) -> Float[Array, "b h w c"]:
        mean = jnp.mean(upcast(x), (1, 2), keepdims=True).astype(x.dtype)  # the squeeze
        gate = jax.nn.sigmoid(self.expand(jax.nn.relu(self.reduce(mean))))
        return taps.record("squeeze_excitation_gate", gate) * x
