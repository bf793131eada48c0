"""The convolutional block attention module (Woo et al., ECCV 2018, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.config.context_sizes import reduced
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.primitives import PLAIN, upcast


class CBAM(nn.Module):
    """Channels are weighed, then positions, each by their mean and their maximum.

    y = channel_gate * x,     channel_gate = sigmoid(perceptron(mean over positions) + perceptron(maximum))
    out = spatial_gate * y,   spatial_gate = sigmoid(spatial([mean over channels of y, maximum]))

    One perceptron, the paper's W0 and W1 (eq. 2), serves both; `spatial` is 7x7 (eq. 3). The released code takes the
    maximum first and has BatchNorm after `spatial`. Copies that pool by the maximum twice lose the mean.
    """

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        hidden = reduced(channels, reduction)
        self.reduce = layers.conv(channels, hidden, 1)
        self.expand = layers.conv(hidden, channels, 1)
        self.spatial = layers.conv(2, 1, 7, bias=True)

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        mean = torch.mean(upcast(x), (2, 3), keepdim=True).to(x.dtype)
        peak = maximum(maximum(x, 2), 3)
        gate = torch.sigmoid(self.perceptron(mean) + self.perceptron(peak))
        x = taps.record("cbam_channel_gate", gate) * x
        mean = torch.mean(upcast(x), 1, keepdim=True).to(x.dtype)
        peak = maximum(x, 1)
        gate = torch.sigmoid(self.spatial(torch.cat((mean, peak), dim=1)))
        return taps.record("cbam_spatial_gate", gate) * x

    def perceptron(self, pooled: Float[Tensor, "b c 1 1"]) -> Float[Tensor, "b c 1 1"]:
        """W1 relu(W0 pooled)."""
        return self.expand(F.relu(self.reduce(pooled)))


def maximum(x: Float[Tensor, "b c h w"], axis: int) -> Float[Tensor, "b d p q"]:
    """Maximum along an axis, whose gradient goes to the first of equal values.

    Where a gradient goes to all values that equal the maximum, none may: XLA may compute them twice, rounded otherwise.
    """
    return torch.take_along_dim(x, torch.argmax(x, axis, keepdim=True), axis)
