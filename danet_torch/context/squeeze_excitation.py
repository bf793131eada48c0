"""Squeeze-and-excitation (Hu et al., CVPR 2018, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.config.context_sizes import reduced
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.primitives import PLAIN, upcast


class SqueezeExcitation(nn.Module):
    """Each channel is weighed by what all channels are on average.

    out = gate * x,   gate = sigmoid(expand(relu(reduce(mean of x over the positions))))

    `reduce` and `expand` are the paper's W1 and W2 (eq. 3), with biases, as in the authors' models. Copies that compute
    the mean and then make the gate of `x` itself are another module.
    """

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        hidden = reduced(channels, reduction)
        self.reduce = layers.conv(channels, hidden, 1, bias=True)
        self.expand = layers.conv(hidden, channels, 1, bias=True)

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        mean = torch.mean(upcast(x), (2, 3), keepdim=True).to(x.dtype)  # the squeeze
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(mean))))
        return taps.record("squeeze_excitation_gate", gate) * x
