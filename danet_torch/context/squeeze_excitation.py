"""Squeeze-and-excitation (Hu et al., CVPR 2018, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.numerics import Numerics
from danet_common.reduction import reduced
from danet_common.stages import NO_STAGES, Stages
from danet_torch.layers import Conv, widen


class SqueezeExcitation(nn.Module):
    """Each channel is weighed by what all channels are on average.

    out = gate * x,   gate = sigmoid(expand(relu(reduce(mean of x over the positions))))

    `reduce` and `expand` are the paper's W1 and W2 (eq. 3), with biases, as in the authors' models. Copies that compute
    the mean and then make the gate of `x` itself are another module.
    """

    def __init__(self, channels: int, reduction: int, numerics: Numerics) -> None:
        super().__init__()
        hidden = reduced(channels, reduction)
        self.reduce = Conv(channels, hidden, 1, numerics, bias=True)
        self.expand = Conv(hidden, channels, 1, numerics, bias=True)

    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        mean = torch.mean(widen(x), (2, 3), keepdim=True).to(x.dtype)  # the squeeze
        gate = torch.sigmoid(self.expand(F.relu_(self.reduce(mean))))
        return stages.keep("squeeze_excitation_gate", gate) * x
