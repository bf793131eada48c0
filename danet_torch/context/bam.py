"""The bottleneck attention module (Park et al., BMVC 2018, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.config.context_sizes import reduced
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.primitives import PLAIN, upcast

DILATION = 4  # of the spatial branch, the best of those that the paper tries


class BAM(nn.Module):
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

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        mean = torch.mean(upcast(x), (2, 3), keepdim=True).to(x.dtype)
        channel = self.expand_bn(self.expand(F.relu(self.reduce(mean))))
        hidden = F.relu(self.spatial_reduce(x))
        hidden = F.relu(self.spatial_conv2(F.relu(self.spatial_conv1(hidden))))
        spatial = self.spatial_bn(self.spatial_expand(hidden))
        gate = torch.sigmoid(taps.record("bam_channel", channel) + taps.record("bam_spatial", spatial))
        return x * (1 + taps.record("bam_gate", gate))
