"""Position and channel attention (Fu et al., CVPR 2019, section 3).
Follows the authors' released code where that differs from the paper: see README."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_tf.layers import Conv, Module, widen


@keras.saving.register_keras_serializable("danet")
class PositionAttention(Module):
    """Each position gathers features from all positions.

    out = gamma * attention @ value + x,   attention = softmax(query @ key)

    `gamma` is the paper's alpha (eq. 2); it starts at 0. The energies are not scaled by 1 / sqrt(d).
    """

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__(numerics, channels=channels, query_channels=query_channels)
        self.query = Conv(channels, query_channels, 1, numerics, bias=True)
        self.key = Conv(channels, query_channels, 1, numerics, bias=True)
        self.value = Conv(channels, channels, 1, numerics, bias=True)
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", dtype=self.numerics.wide, name="gamma")
        self.built = True

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        query = flatten(widen(stages.keep("position_query", self.query(x))))  # (B, N, Q), N = H*W
        key = flatten(widen(stages.keep("position_key", self.key(x))))
        value = flatten(stages.keep("position_value", self.value(x)))  # (B, N, C)
        energy = ops.einsum("bnc,bmc->bnm", query, key)  # (B, N, N)
        attention = stages.keep("position_map", ops.softmax(energy, axis=2))
        out = ops.reshape(ops.einsum("bnm,bmc->bnc", ops.cast(attention, x.dtype), value), ops.shape(x))
        return ops.cast(self.gamma, x.dtype) * out + x


@keras.saving.register_keras_serializable("danet")
class ChannelAttention(Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    `gamma` is the paper's beta (eq. 4); it starts at 0. The paper's eq. 3 has softmax(energy): the
    released code, and every checkpoint trained with it, turns the sign, so that unlike channels weigh more.
    """

    def __init__(self, numerics: Numerics) -> None:
        super().__init__(numerics)
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", dtype=self.numerics.wide, name="gamma")
        self.built = True

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        features = flatten(x)  # (B, N, C)
        energy = ops.einsum("bnc,bnd->bcd", widen(features), widen(features))  # (B, C, C), sums over N: large
        energy = ops.max(energy, axis=2, keepdims=True) - energy  # as released: unlike channels weigh more
        attention = stages.keep("channel_map", ops.softmax(energy, axis=2))
        out = ops.reshape(ops.einsum("bcd,bnd->bnc", ops.cast(attention, x.dtype), features), ops.shape(x))
        return ops.cast(self.gamma, x.dtype) * out + x


def flatten(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b n c"]:
    """Height and width as one axis of positions."""
    batch, height, width, channels = ops.shape(x)
    return ops.reshape(x, (batch, height * width, channels))
