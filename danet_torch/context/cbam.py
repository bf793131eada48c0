"""The convolutional block attention module (Woo et al., ECCV 2018, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.numerics import Numerics
from danet_common.reduction import reduced
from danet_common.stages import NO_STAGES, Stages
from danet_torch.layers import Conv, widen


class CBAM(nn.Module):
    """Channels are weighed, then positions, each by their mean and their maximum.

    y = channel_gate * x,     channel_gate = sigmoid(perceptron(mean over positions) + perceptron(maximum))
    out = spatial_gate * y,   spatial_gate = sigmoid(spatial([mean over channels of y, maximum]))

    One perceptron, the paper's W0 and W1 (eq. 2), serves both; `spatial` is 7x7 (eq. 3). The released code takes the
    maximum first and has BatchNorm after `spatial`. Copies that pool by the maximum twice lose the mean.
    """

    def __init__(self, channels: int, reduction: int, numerics: Numerics) -> None:
        super().__init__()
        hidden = reduced(channels, reduction)
        self.reduce = Conv(channels, hidden, 1, numerics)
        self.expand = Conv(hidden, channels, 1, numerics)
        self.spatial = Conv(2, 1, 7, numerics, bias=True)

    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        mean = torch.mean(widen(x), (2, 3), keepdim=True).to(x.dtype)
        maximum = torch.amax(x, (2, 3), keepdim=True)  # where several are largest, the gradient goes to all
        gate = torch.sigmoid(self.perceptron(mean) + self.perceptron(maximum))
        x = stages.keep("cbam_channel_gate", gate) * x
        mean = torch.mean(widen(x), 1, keepdim=True).to(x.dtype)
        maximum = torch.amax(x, 1, keepdim=True)
        gate = torch.sigmoid(self.spatial(torch.cat((mean, maximum), dim=1)))
        return stages.keep("cbam_spatial_gate", gate) * x

    def perceptron(self, pooled: Float[Tensor, "b c 1 1"]) -> Float[Tensor, "b c 1 1"]:
        """W1 relu(W0 pooled)."""
        return self.expand(F.relu_(self.reduce(pooled)))
