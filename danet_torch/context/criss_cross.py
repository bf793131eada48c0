"""Criss-cross attention (Huang et al., ICCV 2019): each position attends to its row and its column, twice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps, passthrough
from danet_torch.module import Module
from danet_torch.primitives import PLAIN, upcast


class CrissCrossAttention(Module):
    """Each position gathers features from its row and its column, and in a second pass from all positions.

    out = gamma * attention @ value + x, applied twice with the same weights;   attention = softmax(query @ key)

    Each softmax is over the H + W - 1 positions of one row and one column, without 1 / sqrt(d). So a map has
    N * (H + W) entries instead of N * N. `gamma` starts at 0. The equations are the paper's 1 to 3, for R = 2 loops.
    """

    tensor_kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.query = layers.conv(channels, query_channels, 1, bias=True)
        self.key = layers.conv(channels, query_channels, 1, bias=True)
        self.value = layers.conv(channels, channels, 1, bias=True)
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        x = taps.record("criss_cross_once", self.gather(x, taps.recorder("criss_cross_map1")))
        return self.gather(x, taps.recorder("criss_cross_map2"))

    def gather(self, x: Float[Tensor, "b c h w"], record: Callable[[Tensor], Tensor]) -> Float[Tensor, "b c h w"]:
        """One pass: features of each position's row and column, added to the position's own."""
        out = criss_cross_attention(self.query(x), self.key(x), self.value(x), record)
        return self.gamma.to(x.dtype) * out + x


def criss_cross_attention(
    query: Float[Tensor, "b q h w"],
    key: Float[Tensor, "b q h w"],
    value: Float[Tensor, "b c h w"],
    record: Callable[[Tensor], Tensor] = passthrough,
) -> Float[Tensor, "b c h w"]:
    """Attention to the positions of a column and a row; the row alone counts the position itself.

    `record` receives the map, H entries for the column and W for the row at each position, and returns it.
    """
    query, key, rows = upcast(query), upcast(key), torch.arange(query.shape[2], device=query.device)
    column = torch.einsum("bqhw,bqgw->bghw", query, key)  # (B, H, H, W)
    row = torch.einsum("bqhw,bqhv->bvhw", query, key)  # (B, W, H, W)
    column = torch.where((rows[:, None] == rows)[:, :, None], -torch.inf, column)
    weights = record(torch.softmax(torch.cat((column, row), 1), 1)).to(value.dtype)
    column, row = weights[:, : query.shape[2]], weights[:, query.shape[2] :]
    return torch.einsum("bghw,bcgw->bchw", column, value) + torch.einsum("bvhw,bchv->bchw", row, value)
