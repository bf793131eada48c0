"""Compact position and channel attention (Fu et al., TNNLS 2020): each attends to a few centres instead of to all.
Follows the authors' released code."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from danet_common.config.context_sizes import POOLS, reduced
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.attention import softmax_attention, to_feature_map, to_positions
from danet_torch.layers import ConvNormAct
from danet_torch.module import Module
from danet_torch.primitives import PLAIN, upcast


class CompactPositionAttention(Module):
    """Each position gathers features from 50 centres.

    out = gamma * attention @ value(centres) + x,   attention = softmax(query(x) @ key(centres))

    The centres are means of x over 1, 2x2, 3x3 and 6x6 windows, each pool with a 1x1 convolution, BatchNorm and ReLU of
    its own. The map is N x 50 for N positions. `gamma`, the authors' scale, starts at 0; the energies are not scaled by
    1 / sqrt(d). Training needs a batch of two, as the first pool has one value for each picture.
    """

    tensor_kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        for size in POOLS:
            setattr(self, f"pool{size}", ConvNormAct(channels, channels, 1, layers))
        self.query = layers.conv(channels, query_channels, 1, bias=True)
        self.key = layers.conv(channels, query_channels, 1, bias=True)
        self.value = layers.conv(channels, channels, 1, bias=True)
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        pooled = [getattr(self, f"pool{size}")(adaptive_average(x, size)).flatten(2) for size in POOLS]
        centres = taps.record("compact_position_centres", torch.cat(pooled, dim=2)[..., None])  # (B, C, 50, 1)
        query = to_positions(taps.record("compact_position_query", self.query(x)))  # (B, N, Q), N = H*W
        key = to_positions(taps.record("compact_position_key", self.key(centres)))  # (B, 50, Q)
        value = to_positions(taps.record("compact_position_value", self.value(centres)))  # (B, 50, C)
        out = softmax_attention(query, key, value, taps.recorder("compact_position_map"))
        return self.gamma.to(x.dtype) * to_feature_map(out, x) + x


class CompactChannelAttention(Module):
    """Each channel gathers features from a few channels that a convolution makes of all.

    out = gamma * attention @ centres + x,   attention = softmax(max(energy) - energy),   energy = x @ centres.T

    The map is C x K for K centres, C / reduction of them. `gamma`, the authors' scale, starts at 0. The energy's sign
    is turned as in DANet's channel attention, so that unlike centres weigh more.
    """

    tensor_kinds = ("gamma",)

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.centres = ConvNormAct(channels, reduced(channels, reduction), 1, layers)
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        features = to_positions(x)  # (B, N, C)
        centres = to_positions(taps.record("compact_channel_centres", self.centres(x)))  # (B, N, K)
        energy = torch.einsum("bnc,bnk->bck", upcast(features), upcast(centres))  # (B, C, K), sums over N: large
        energy = torch.amax(energy, 2, keepdim=True) - energy  # as released: unlike centres weigh more
        weights = taps.record("compact_channel_map", torch.softmax(energy, 2))
        out = torch.einsum("bck,bnk->bnc", weights.to(x.dtype), centres)
        return self.gamma.to(x.dtype) * to_feature_map(out, x) + x


def adaptive_average(x: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c size size"]:
    """Means over size x size windows, as torch's adaptive average pooling has them, in at least float32."""
    wide = upcast(x)
    rows = pooling_matrix(wide.shape[2], size, like=wide)
    columns = pooling_matrix(wide.shape[3], size, like=wide)
    return torch.einsum("pw,bcow->bcop", columns, torch.einsum("oh,bchw->bcow", rows, wide)).to(x.dtype)


def pooling_matrix(source: int, target: int, like: Tensor) -> Float[Tensor, "target source"]:
    """Means over `target` windows of `source` samples as a matrix.

    Window i holds the samples from floor(i * source / target) up to ceil((i + 1) * source / target). Windows overlap
    if the sizes do not divide, and repeat if there are fewer samples. In integers up to the last division.
    """
    i, j = torch.arange(target, device=like.device)[:, None], torch.arange(source, device=like.device)
    first, after = i * source // target, ((i + 1) * source + target - 1) // target
    return ((j >= first) & (j < after)).to(like.dtype) / (after - first).to(like.dtype)
