"""The self-attention of SAGAN (Zhang et al., ICML 2019, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.attention import softmax_attention, to_feature_map, to_positions
from danet_torch.module import Module
from danet_torch.primitives import PLAIN


class SelfAttention(Module):
    """Each position gathers features from all positions, in fewer channels, which a last convolution makes C again.

    out = gamma * residual(attention @ value) + x,   attention = softmax(query @ key)

    The paper's g, f, h and v, in this order `query`, `key`, `value` and `residual`: C / 8 channels, no biases. `gamma`
    starts at 0. The authors' code has C / 2 channels of values, and pools keys and values to maxima of 2x2 positions;
    many copies have no v but C channels of values, as `PositionAttention`.
    """

    tensor_kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.query = layers.conv(channels, query_channels, 1)
        self.key = layers.conv(channels, query_channels, 1)
        self.value = layers.conv(channels, query_channels, 1)
        self.attention = layers.attention(softmax_attention)
        self.residual = layers.conv(query_channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        query = to_positions(taps.record("self_attention_query", self.query(x)))  # (B, N, Q), N = H*W
        key = to_positions(taps.record("self_attention_key", self.key(x)))
        value = to_positions(taps.record("self_attention_value", self.value(x)))
        out = self.attention(query, key, value, taps.recorder("self_attention_map"))
        return self.gamma.to(x.dtype) * self.residual(to_feature_map(out, x)) + x
