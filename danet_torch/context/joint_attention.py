"""Position and channel attention with joint projections: one convolution makes query, key and value.
Compact forms of Fu et al. (CVPR 2019, section 3), often written so in TensorFlow."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.attention import softmax_attention, to_feature_map, to_positions
from danet_torch.module import Module
from danet_torch.primitives import PLAIN, upcast


class JointPositionAttention(Module):
    """Each position gathers features from all positions, as `PositionAttention`, of one projection in three parts.

    out = gamma * attention @ value + x,   attention = softmax(query @ key),   [query, key, value] = projections(x)

    `gamma` starts at 0.
    """

    tensor_kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.parts = (query_channels, 2 * query_channels)  # where the second and the third begin
        self.projections = layers.conv(channels, 2 * query_channels + channels, 1, bias=True)
        self.attention = layers.attention(softmax_attention)
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        projections = to_positions(taps.record("joint_position_projections", self.projections(x)))  # (B, N, 2Q + C)
        query, key, value = torch.tensor_split(projections, self.parts, dim=2)
        out = self.attention(query, key, value, taps.recorder("joint_position_map"))
        return self.gamma.to(x.dtype) * to_feature_map(out, x) + x


class JointChannelAttention(Module):
    """Each channel gathers features from all channels, by projections that DANet's channel attention has none of.

    out = gamma * attention @ value + x,   attention = softmax(query.T @ key),   [query, key, value] = projections(x)

    The map is C x C, whatever the picture's size. `gamma` starts at 0. With projections of its own, the energy's sign
    is learned: it is not turned as DANet's is.
    """

    tensor_kinds = ("gamma",)

    def __init__(self, channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.projections = layers.conv(channels, 3 * channels, 1, bias=True)
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        projections = to_positions(taps.record("joint_channel_projections", self.projections(x)))  # (B, N, 3C)
        query, key, value = torch.tensor_split(projections, 3, dim=2)
        energy = torch.einsum("bnc,bnd->bcd", upcast(query), upcast(key))  # (B, C, C), sums over N: large
        weights = taps.record("joint_channel_map", torch.softmax(energy, 2))
        out = torch.einsum("bcd,bnd->bnc", weights.to(x.dtype), value)
        return self.gamma.to(x.dtype) * to_feature_map(out, x) + x
