"""The bottleneck attention module (Park et al., BMVC 2018, section 3)."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.context_sizes import reduced
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_tf.accelerated.precision import mean_of
from danet_tf.module import Module
from danet_tf.primitives import PLAIN, upcast

DILATION = 4  # of the spatial branch, the best of those that the paper tries


@keras.saving.register_keras_serializable("danet")
class BAM(Module):
    """A weight for every channel and a weight for every position, added, raise what matters.

    out = x * (1 + gate),   gate = sigmoid(channel + spatial)
    channel = expand_bn(expand(relu(reduce(mean of x over the positions))))
    spatial = spatial_bn(1x1 to one channel, after two dilated 3x3, after 1x1, each with ReLU)

    Each branch ends in BatchNorm (eq. 3 and 4). The released code has it after the hidden convolutions instead, and
    multiplies the branches that the paper adds (eq. 2). Training needs a batch of two.
    """

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        hidden = reduced(channels, reduction)
        self.reduce = layers.conv(channels, hidden, 1, bias=True)
        self.expand = layers.conv(hidden, channels, 1)
        self.expand_bn = layers.norm(channels)
        self.spatial_reduce = layers.conv(channels, hidden, 1, bias=True)
        self.spatial_conv1 = layers.conv(hidden, hidden, 3, dilation=DILATION, bias=True)
        self.spatial_conv2 = layers.conv(hidden, hidden, 3, dilation=DILATION, bias=True)
        self.spatial_expand = layers.conv(hidden, 1, 1)
        self.spatial_bn = layers.norm(1)

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        mean = ops.cast(mean_of(upcast(x), (1, 2), keepdims=True), x.dtype)
        channel = self.expand_bn(self.expand(ops.relu(self.reduce(mean))))
        hidden = ops.relu(self.spatial_reduce(x))
        hidden = ops.relu(self.spatial_conv2(ops.relu(self.spatial_conv1(hidden))))
        spatial = self.spatial_bn(self.spatial_expand(hidden))
        gate = ops.sigmoid(taps.record("bam_channel", channel) + taps.record("bam_spatial", spatial))
        return x * (1 + taps.record("bam_gate", gate))
