"""The cross-level gating decoder (Fu et al., TNNLS 2020), as the authors released it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from danet_common.config.context_sizes import GATED_CHANNELS
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.layers import ConvNormAct, resize
from danet_torch.module import Module
from danet_torch.primitives import PLAIN


class GatingDecoder(Module):
    """Deep features, enlarged, are joined with shallow ones that a gate weighs at each position.

    out = out(joined([gain * gate * low, high])),   gate = sigmoid(gate([low, high]))

    `low` is a 3x3 convolution of layer1 to 32 channels, `high` is `x` at layer1's size; `joined` and `out` are 3x3
    convolutions; all but the gate's have BatchNorm and ReLU. `gain`, the authors' gamma, starts at 1.
    """

    tensor_kinds = ("gain",)

    def __init__(self, low_channels: int, channels: int, grid: str, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.grid = grid
        self.low = ConvNormAct(low_channels, GATED_CHANNELS, 3, layers)
        self.gate = layers.conv(GATED_CHANNELS + channels, 1, 1, bias=True)
        self.joined = ConvNormAct(GATED_CHANNELS + channels, channels, 3, layers)
        self.out = ConvNormAct(channels, channels, 3, layers)
        self.gain = nn.Parameter(torch.ones(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(
        self, x: Float[Tensor, "b c h w"], layer1: Float[Tensor, "b d o p"], taps: Taps = NO_TAPS
    ) -> Float[Tensor, "b c o p"]:
        low = taps.record("decoder_low", self.low(layer1))
        high = resize(x, low.shape[2:], self.grid).to(x.dtype)
        gate = taps.record("decoder_gate", torch.sigmoid(self.gate(torch.cat([low, high], dim=1))))
        gated = self.gain.to(x.dtype) * gate * low
        joined = taps.record("decoder_joined", self.joined(torch.cat([gated, high], dim=1)))
        return taps.record("decoder_out", self.out(joined))
