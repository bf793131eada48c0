"""Position and channel attention (Fu et al., CVPR 2019, section 3), as in the authors' released code.
That differs from the paper: query and key have C/8 channels, and channel attention flips the sign of its energy."""

from __future__ import annotations

from collections.abc import Callable

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps, passthrough
from danet_tf.module import Module
from danet_tf.primitives import PLAIN, upcast


@keras.saving.register_keras_serializable("danet")
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
        self.gamma = self.add_weight((1,), "zeros", layers.precision.accumulate_dtype, name="gamma")

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        query = to_positions(taps.record("position_query", self.query(x)))  # (B, N, Q), N = H*W
        key = to_positions(taps.record("position_key", self.key(x)))
        value = to_positions(taps.record("position_value", self.value(x)))  # (B, N, C)
        gathered = self.attention(query, key, value, taps.recorder("position_map"))
        return ops.cast(self.gamma, x.dtype) * to_feature_map(gathered, x) + x


@keras.saving.register_keras_serializable("danet")
class ChannelAttention(Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    x is a (C, N) matrix here, energy and attention (C, C), N = H*W. `gamma` is the paper's beta (eq. 4; initially 0).
    """

    tensor_kinds = ("gamma",)  # of the module's own tensors, for conversion and initial values

    def __init__(self, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.gamma = self.add_weight((1,), "zeros", layers.precision.accumulate_dtype, name="gamma")

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        features = to_positions(x)  # (B, N, C)
        energy = ops.einsum("bnc,bnd->bcd", upcast(features), upcast(features))  # (B, C, C), large sums over N
        energy = ops.max(energy, axis=2, keepdims=True) - energy  # softmax as of -energy; eq. 3: of energy
        attention = taps.record("channel_map", ops.softmax(energy, 2))
        gathered = ops.einsum("bcd,bnd->bnc", ops.cast(attention, x.dtype), features)
        return ops.cast(self.gamma, x.dtype) * to_feature_map(gathered, x) + x


def softmax_attention(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    record: Callable[[Tensor], Tensor] = passthrough,
) -> Float[Tensor, "b n c"]:
    """softmax(query @ key.T) @ value; `record` receives the map, whose rows sum to 1, and returns it."""
    energy = ops.einsum("bnq,bmq->bnm", upcast(query), upcast(key))
    attention = record(ops.softmax(energy, 2))
    return ops.einsum("bnm,bmc->bnc", ops.cast(attention, value.dtype), value)


def to_positions(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b n c"]:
    """Return the features of each position, N = H*W."""
    batch, height, width, channels = ops.shape(x)
    return ops.reshape(x, (batch, height * width, channels))


def to_feature_map(x: Float[Tensor, "b n c"], like: Float[Tensor, "b h w d"]) -> Float[Tensor, "b h w c"]:
    """Return the positions as a feature map of the height and width of `like`."""
    return ops.reshape(x, (*ops.shape(like)[:3], x.shape[2]))
