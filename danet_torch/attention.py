"""Position and channel attention (Fu et al., CVPR 2019, section 3).
Follows the authors' released code where that differs from the paper: see README."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from danet_common import slices
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_torch.layers import Conv, widen


class PositionAttention(nn.Module):
    """Each position gathers features from all positions.

    out = gamma * attention @ value + x,   attention = softmax(query @ key)

    `gamma` is the paper's alpha (eq. 2); it starts at 0. The energies are not scaled by 1 / sqrt(d). A large map
    is made in slices: `slice_size` of its entries for each picture at once. Set it lower for less memory.
    """

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__()
        self.query = Conv(channels, query_channels, 1, numerics, bias=True)
        self.key = Conv(channels, query_channels, 1, numerics, bias=True)
        self.value = Conv(channels, channels, 1, numerics, bias=True)
        self.slice_size = slices.SLICE_SIZE
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, numerics.wide)))

    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        query = flatten(widen(stages.keep("position_query", self.query(x))))  # (B, N, Q), N = H*W
        key = flatten(widen(stages.keep("position_key", self.key(x))))
        value = flatten(stages.keep("position_value", self.value(x)))  # (B, N, C)
        out = attend(query, key, value, self.slice_size, stages).transpose(1, 2).reshape(x.shape)
        return self.gamma.to(x.dtype) * out + x


class ChannelAttention(nn.Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    `gamma` is the paper's beta (eq. 4); it starts at 0. The paper's eq. 3 has softmax(energy): the
    released code, and every checkpoint trained with it, turns the sign, so that unlike channels weigh more.
    """

    def __init__(self, numerics: Numerics) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, numerics.wide)))

    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        features = flatten(x)  # (B, N, C)
        energy = torch.einsum("bnc,bnd->bcd", widen(features), widen(features))  # (B, C, C), sums over N: large
        energy = energy.amax(dim=2, keepdim=True) - energy  # as released: unlike channels weigh more
        attention = stages.keep("channel_map", torch.softmax(energy, dim=2))
        out = torch.einsum("bcd,bnd->bnc", attention.to(x.dtype), features).transpose(1, 2).reshape(x.shape)
        return self.gamma.to(x.dtype) * out + x


def flatten(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """Height and width as one axis of positions."""
    return x.flatten(2).transpose(1, 2)  # no copy where channels are last in memory


def attend(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b n q"],
    value: Float[Tensor, "b n c"],
    slice_size: int,
    stages: Stages = NO_STAGES,
) -> Float[Tensor, "b n c"]:
    """What each query gathers, in slices of queries: softmax(query @ key) @ value.

    The map is made whole where it fits in `slice_size`, or where the stage `position_map` is asked for. The gradient
    computes each slice again, so that no map is kept.
    """
    positions = key.shape[1]
    rows = slices.rows(positions, slice_size)
    if rows >= positions or "position_map" in stages.wanted:
        return gather(query, key, value, stages)
    pieces = query.split(rows, dim=1)
    return torch.cat([checkpoint(gather, piece, key, value, use_reentrant=False) for piece in pieces], dim=1)


def gather(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    stages: Stages = NO_STAGES,
) -> Float[Tensor, "b n c"]:
    """What each query gathers, by one map: softmax(query @ key) @ value."""
    energy = torch.einsum("bnc,bmc->bnm", query, key)
    attention = stages.keep("position_map", torch.softmax(energy, dim=2))
    return torch.einsum("bnm,bmc->bnc", attention.to(value.dtype), value)
