"""Position and channel attention (Fu et al., CVPR 2019, section 3), as in the authors' released code.
That differs from the paper: query and key have C/8 channels, and channel attention flips the sign of its energy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps, passthrough
from danet_torch.module import Module
from danet_torch.primitives import PLAIN, upcast


class PositionAttention(Module):
    """Each position gathers features from all positions.

    out = gamma * attention @ value + x,   attention = softmax(query @ key.T), not scaled by 1 / sqrt(Q)

    The paper calls x A, key B, query C, value D, attention S (eq. 1), out E, gamma alpha (eq. 2; initially 0).
    """

    tensor_kinds = ("gamma",)  # of the module's own tensors, for conversion and initial values

    def __init__(self, channels: int, query_channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.query = layers.conv(channels, query_channels, 1, bias=True)
        self.key = layers.conv(channels, query_channels, 1, bias=True)
        self.value = layers.conv(channels, channels, 1, bias=True)
        self.attention = layers.attention(softmax_attention)
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        query = to_positions(taps.record("position_query", self.query(x)))  # (B, N, Q), N = H*W
        key = to_positions(taps.record("position_key", self.key(x)))
        value = to_positions(taps.record("position_value", self.value(x)))  # (B, N, C)
        gathered = self.attention(query, key, value, taps.recorder("position_map"))
        return self.gamma.to(x.dtype) * to_feature_map(gathered, x) + x


class ChannelAttention(Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    x is a (C, N) matrix here, energy and attention (C, C), N = H*W. `gamma` is the paper's beta (eq. 4; initially 0).
    """

    tensor_kinds = ("gamma",)  # of the module's own tensors, for conversion and initial values

    def __init__(self, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, dtype=getattr(torch, layers.precision.accumulate_dtype)))

    def forward(self, x: Float[Tensor, "b c h w"], taps: Taps = NO_TAPS) -> Float[Tensor, "b c h w"]:
        features = to_positions(x)  # (B, N, C)
        energy = torch.einsum("bnc,bnd->bcd", upcast(features), upcast(features))  # (B, C, C), large sums over N
        energy = torch.amax(energy, 2, keepdim=True) - energy  # softmax as of -energy; eq. 3: of energy
        attention = taps.record("channel_map", torch.softmax(energy, 2))
        gathered = torch.einsum("bcd,bnd->bnc", attention.to(x.dtype), features)
        return self.gamma.to(x.dtype) * to_feature_map(gathered, x) + x


def softmax_attention(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    record: Callable[[Tensor], Tensor] = passthrough,
) -> Float[Tensor, "b n c"]:
    """softmax(query @ key.T) @ value; `record` receives the map, whose rows sum to 1, and returns it."""
    energy = torch.einsum("bnq,bmq->bnm", upcast(query), upcast(key))
    attention = record(torch.softmax(energy, 2))
    return torch.einsum("bnm,bmc->bnc", attention.to(value.dtype), value)


def to_positions(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """Return the features of each position, N = H*W."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_feature_map(x: Float[Tensor, "b n c"], like: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c h w"]:
    """Return the positions as a feature map of the height and width of `like`."""
    return x.unflatten(1, like.shape[2:]).permute(0, 3, 1, 2)
