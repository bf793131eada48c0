"""The bottleneck attention module (Park et al., BMVC 2018, section 3)."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.numerics import Numerics
from danet_common.reduction import reduced
from danet_common.stages import NO_STAGES, Stages
from danet_tf.layers import BatchNorm, Conv, mean_of, widen
from danet_tf.module import Module

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

    def __init__(self, channels: int, reduction: int, numerics: Numerics) -> None:
        super().__init__(numerics, channels=channels, reduction=reduction)
        hidden = reduced(channels, reduction)
        self.reduce = Conv(channels, hidden, 1, numerics, bias=True)
        self.expand = Conv(hidden, channels, 1, numerics)
        self.expand_bn = BatchNorm(channels, numerics)
        self.spatial_reduce = Conv(channels, hidden, 1, numerics, bias=True)
        self.spatial_conv1 = Conv(hidden, hidden, 3, numerics, dilation=DILATION, bias=True)
        self.spatial_conv2 = Conv(hidden, hidden, 3, numerics, dilation=DILATION, bias=True)
        self.spatial_expand = Conv(hidden, 1, 1, numerics)
        self.spatial_bn = BatchNorm(1, numerics)

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        mean = ops.cast(mean_of(widen(x), (1, 2), keepdims=True), x.dtype)
        channel = self.expand_bn(self.expand(ops.relu(self.reduce(mean))))
        hidden = ops.relu(self.spatial_reduce(x))
        hidden = ops.relu(self.spatial_conv2(ops.relu(self.spatial_conv1(hidden))))
        spatial = self.spatial_bn(self.spatial_expand(hidden))
        gate = ops.sigmoid(stages.keep("bam_channel", channel) + stages.keep("bam_spatial", spatial))
        return x * (1 + stages.keep("bam_gate", gate))
