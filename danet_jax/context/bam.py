"""The bottleneck attention module (Park et al., BMVC 2018, section 3)."""

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

DILATION = 4  # of the spatial branch, the best of those that the paper tries


class BAM(nnx.Module):
    """A weight for every channel and a weight for every position, added, raise what matters.

    out = x * (1 + gate),   gate = sigmoid(channel + spatial)
    channel = expand_bn(expand(relu(reduce(mean of x over the positions))))
    spatial = spatial_bn(1x1 to one channel, after two dilated 3x3, after 1x1, each with ReLU)

    Each branch ends in BatchNorm (eq. 3 and 4). The released code has it after the hidden convolutions instead, and
    multiplies the branches that the paper adds (eq. 2). Training needs a batch of two.
    """

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        hidden = reduced(channels, reduction)
        self.reduce = layers.conv(channels, hidden, 1, bias=True)
        self.expand = layers.conv(hidden, channels, 1)
        self.expand_bn = layers.norm(channels)
        self.spatial_reduce = layers.conv(channels, hidden, 1, bias=True)
        self.spatial_conv1 = layers.conv(hidden, hidden, 3, dilation=DILATION, bias=True)
        self.spatial_conv2 = layers.conv(hidden, hidden, 3, dilation=DILATION, bias=True)
        self.spatial_expand = layers.conv(hidden, 1, 1)
        self.spatial_bn = layers.norm(1)

    def __call__(self, x: Float[Array, "b h w c"], taps: Taps = NO_TAPS) -> Float[Array, "b h w c"]:
        mean = jnp.mean(upcast(x), (1, 2), keepdims=True).astype(x.dtype)
        channel = self.expand_bn(self.expand(jax.nn.relu(self.reduce(mean))))
        hidden = jax.nn.relu(self.spatial_reduce(x))
        hidden = jax.nn.relu(self.spatial_conv2(jax.nn.relu(self.spatial_conv1(hidden))))
        spatial = self.spatial_bn(self.spatial_expand(hidden))
        gate = jax.nn.sigmoid(taps.record("bam_channel", channel) + taps.record("bam_spatial", spatial))
        return x * (1 + taps.record("bam_gate", gate))
