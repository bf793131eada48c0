"""Position and channel attention with joint projections: one convolution makes query, key and value.
Compact forms of Fu et al. (CVPR 2019, section 3), often written so in TensorFlow."""

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


class JointPositionAttention(Module):
    """Each position gathers features from all positions, as `PositionAttention`, of one projection in three parts.

    out = gamma * attention @ value + x,   attention = softmax(query @ key),   [query, key, value] = projections(x)

    `gamma` starts at 0. A large map is made in slices: `slice_size` of its entries for each picture at once.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__()
        self.parts = (query_channels, 2 * query_channels)  # where the second and the third begin
        self.projections = Conv(channels, 2 * query_channels + channels, 1, numerics, bias=True)
        self.slice_size = slices.SLICE_SIZE
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, numerics.wide)))

    @as_typed
    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        projections = flatten(stages.keep("joint_position_projections", self.projections(x)))  # (B, N, 2Q + C)
        query, key, value = torch.tensor_split(projections, self.parts, dim=2)
        stages = stages.renamed("position_map", "joint_position_map")
        out = attend(widen(query), widen(key), value, self.slice_size, stages).transpose(1, 2).reshape(x.shape)
        return self.gamma.to(x.dtype) * out + x


class JointChannelAttention(Module):
    """Each channel gathers features from all channels, by projections that DANet's channel attention has none of.

    out = gamma * attention @ value + x,   attention = softmax(query.T @ key),   [query, key, value] = projections(x)

    The map is C x C, whatever the picture's size. `gamma` starts at 0. With projections of its own, the energy's sign
    is learned: it is not turned as DANet's is.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, numerics: Numerics) -> None:
        super().__init__()
        self.projections = Conv(channels, 3 * channels, 1, numerics, bias=True)
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, numerics.wide)))

    @as_typed
    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
        projections = flatten(stages.keep("joint_channel_projections", self.projections(x)))  # (B, N, 3C)
        query, key, value = torch.tensor_split(projections, 3, dim=2)
        energy = torch.einsum("bnc,bnd->bcd", widen(query), widen(key))  # (B, C, C), sums over N: large
        attention = stages.keep("joint_channel_map", torch.softmax(energy, dim=2))
        out = torch.einsum("bcd,bnd->bnc", attention.to(x.dtype), value).transpose(1, 2).reshape(x.shape)
        return self.gamma.to(x.dtype) * out + x
