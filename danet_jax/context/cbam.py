"""The convolutional block attention module (Woo et al., ECCV 2018, section 3)."""

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


class CBAM(nnx.Module):
    """Channels are weighed, then positions, each by their mean and their maximum.

    y = channel_gate * x,     channel_gate = sigmoid(perceptron(mean over positions) + perceptron(maximum))
    out = spatial_gate * y,   spatial_gate = sigmoid(spatial([mean over channels of y, maximum]))

    One perceptron, the paper's W0 and W1 (eq. 2), serves both; `spatial` is 7x7 (eq. 3). The released code takes the
    maximum first and has BatchNorm after `spatial`. Copies that pool by the maximum twice lose the mean.
    """

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        hidden = reduced(channels, reduction)
        self.reduce = layers.conv(channels, hidden, 1)
        self.expand = layers.conv(hidden, channels, 1)
        self.spatial = layers.conv(2, 1, 7, bias=True)

    def __call__(self, x: Float[Array, "b h w c"], taps: Taps = NO_TAPS) -> Float[Array, "b h w c"]:
        mean = jnp.mean(upcast(x), (1, 2), keepdims=True).astype(x.dtype)
        peak = maximum(maximum(x, 1), 2)
        gate = jax.nn.sigmoid(self.perceptron(mean) + self.perceptron(peak))
        x = taps.record("cbam_channel_gate", gate) * x
        mean = jnp.mean(upcast(x), 3, keepdims=True).astype(x.dtype)
        peak = maximum(x, 3)
        gate = jax.nn.sigmoid(self.spatial(jnp.concatenate((mean, peak), axis=3)))
        return taps.record("cbam_spatial_gate", gate) * x

    def perceptron(self, pooled: Float[Array, "b 1 1 c"]) -> Float[Array, "b 1 1 c"]:
        """W1 relu(W0 pooled)."""
        return self.expand(jax.nn.relu(self.reduce(pooled)))


def maximum(x: Float[Array, "b h w c"], axis: int) -> Float[Array, "b p q d"]:
    """Maximum along an axis, whose gradient goes to the first of equal values.

    Where a gradient goes to all values that equal the maximum, none may: XLA may compute them twice, rounded otherwise.
    """
    return jnp.take_along_axis(x, jnp.argmax(x, axis, keepdims=True), axis)
