"""Position and channel attention (Fu et al., CVPR 2019, section 3).
Follows the authors' released code where that differs from the paper: see README."""

from __future__ import annotations

from collections.abc import Callable

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.taps import NO_TAPS, Taps, ignore
from danet_tf.layers import PLAIN, LayerSet, upcast
from danet_tf.module import Module


@keras.saving.register_keras_serializable("danet")
class PositionAttention(Module):
    """Each position gathers features from all positions.

    out = gamma * attention @ value + x,   attention = softmax(query @ key)

    `gamma` is the paper's alpha (eq. 2); it starts at 0. The energies are not scaled by 1 / sqrt(d).
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.query = layers.conv(channels, query_channels, 1, bias=True)
        self.key = layers.conv(channels, query_channels, 1, bias=True)
        self.value = layers.conv(channels, channels, 1, bias=True)
        self.attention = layers.attention(softmax_attention)
        self.gamma = self.add_weight((1,), "zeros", layers.precision.accumulate_dtype, name="gamma")

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        query = flatten(taps.record("position_query", self.query(x)))  # (B, N, Q), N = H*W
        key = flatten(taps.record("position_key", self.key(x)))
        value = flatten(taps.record("position_value", self.value(x)))  # (B, N, C)
        out = self.attention(query, key, value, taps.recorder("position_map"))
        return ops.cast(self.gamma, x.dtype) * unflatten(out, x) + x


@keras.saving.register_keras_serializable("danet")
class ChannelAttention(Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    `gamma` is the paper's beta (eq. 4); it starts at 0. The paper's eq. 3 has softmax(energy): the
    released code, and every checkpoint trained with it, turns the sign, so that unlike channels weigh more.
    """

    kinds = ("gamma",)

    def __init__(self, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.gamma = self.add_weight((1,), "zeros", layers.precision.accumulate_dtype, name="gamma")

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        features = flatten(x)  # (B, N, C)
        energy = ops.einsum("bnc,bnd->bcd", upcast(features), upcast(features))  # (B, C, C), sums over N: large
        energy = ops.max(energy, axis=2, keepdims=True) - energy  # as released: unlike channels weigh more
        weights = taps.record("channel_map", ops.softmax(energy, 2))
        out = ops.einsum("bcd,bnd->bnc", ops.cast(weights, x.dtype), features)
        return ops.cast(self.gamma, x.dtype) * unflatten(out, x) + x


def softmax_attention(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    record: Callable[[Tensor], Tensor] = ignore,
) -> Float[Tensor, "b n c"]:
    """softmax(query @ key) @ value; `record` is handed the map, whose rows sum to 1."""
    energy = ops.einsum("bnc,bmc->bnm", upcast(query), upcast(key))
    weights = record(ops.softmax(energy, 2))
    return ops.einsum("bnm,bmc->bnc", ops.cast(weights, value.dtype), value)


def flatten(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b n c"]:
    """Height and width as one axis of positions."""
    batch, height, width, channels = ops.shape(x)
    return ops.reshape(x, (batch, height * width, channels))


def unflatten(x: Float[Tensor, "b n c"], like: Float[Tensor, "b h w d"]) -> Float[Tensor, "b h w c"]:
    """The positions as the height and width of `like`."""
    return ops.reshape(x, (*ops.shape(like)[:3], x.shape[2]))
