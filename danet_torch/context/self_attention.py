"""The self-attention of SAGAN (Zhang et al., ICML 2019, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from danet_common import slices
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_torch.attention import attend, flatten
from danet_torch.layers import Conv, as_typed, widen
from danet_torch.module import Module


class SelfAttention(Module):
    """Each position gathers features from all positions, in fewer channels, which a last convolution makes C again.

    out = gamma * residual(attention @ value) + x,   attention = softmax(query @ key)

    The paper's g, f, h and v, in this order `query`, `key`, `value` and `residual`: C / 8 channels, no biases. `gamma`
    starts at 0. The authors' code has C / 2 channels of values, and pools keys and values to maxima of 2x2 positions;
    many copies have no v but C channels of values, as `PositionAttention`. A large map is made in slices: `slice_size`
    of its entries for each picture at once.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__()
        self.query = Conv(channels, query_channels, 1, numerics)
        self.key = Conv(channels, query_channels, 1, numerics)
        self.value = Conv(channels, query_channels, 1, numerics)
        self.residual = Conv(query_channels, channels, 1, numerics)
        self.slice_size = slices.SLICE_SIZE
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, numerics.wide)))

    @as_typed
    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        query = flatten(widen(stages.keep("self_attention_query", self.query(x))))  # (B, N, Q), N = H*W
        key = flatten(widen(stages.keep("self_attention_key", self.key(x))))
        value = flatten(stages.keep("self_attention_value", self.value(x)))
        stages = stages.renamed("position_map", "self_attention_map")
        out = attend(query, key, value, self.slice_size, stages).transpose(1, 2)
        out = self.residual(out.reshape(x.shape[0], -1, *x.shape[2:]))
        return self.gamma.to(x.dtype) * out + x
