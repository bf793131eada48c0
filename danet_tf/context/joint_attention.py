"""Position and channel attention with joint projections: one convolution makes query, key and value.
Compact forms of Fu et al. (CVPR 2019, section 3), often written so in TensorFlow."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common import slices
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_tf.attention import attend, flatten
from danet_tf.layers import Conv, widen
from danet_tf.module import Module


@keras.saving.register_keras_serializable("danet")
class JointPositionAttention(Module):
    """Each position gathers features from all positions, as `PositionAttention`, of one projection in three parts.

    out = gamma * attention @ value + x,   attention = softmax(query @ key),   [query, key, value] = projections(x)

    `gamma` starts at 0. A large map is made in slices: `slice_size` of its entries for each picture at once.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__(numerics, channels=channels, query_channels=query_channels)
        self.parts = (query_channels, 2 * query_channels)  # where the second and the third begin
        self.projections = Conv(channels, 2 * query_channels + channels, 1, numerics, bias=True)
        self.slice_size = slices.SLICE_SIZE
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", dtype=self.numerics.wide, name="gamma")
        self.built = True

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        projections = flatten(stages.keep("joint_position_projections", self.projections(x)))  # (B, N, 2Q + C)
        query, key, value = ops.split(projections, self.parts, axis=2)
        stages = stages.renamed("position_map", "joint_position_map")
        out = ops.reshape(attend(widen(query), widen(key), value, self.slice_size, stages), ops.shape(x))
        return ops.cast(self.gamma, x.dtype) * out + x


@keras.saving.register_keras_serializable("danet")
class JointChannelAttention(Module):
    """Each channel gathers features from all channels, by projections that DANet's channel attention has none of.

    out = gamma * attention @ value + x,   attention = softmax(query.T @ key),   [query, key, value] = projections(x)

    The map is C x C, whatever the picture's size. `gamma` starts at 0. With projections of its own, the energy's sign
    is learned: it is not turned as DANet's is.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, numerics: Numerics) -> None:
        super().__init__(numerics, channels=channels)
        self.projections = Conv(channels, 3 * channels, 1, numerics, bias=True)
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", dtype=self.numerics.wide, name="gamma")
        self.built = True

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        projections = flatten(stages.keep("joint_channel_projections", self.projections(x)))  # (B, N, 3C)
        query, key, value = ops.split(projections, 3, axis=2)
        energy = ops.einsum("bnc,bnd->bcd", widen(query), widen(key))  # (B, C, C), sums over N: large
        attention = stages.keep("joint_channel_map", ops.softmax(energy, axis=2))
        out = ops.reshape(ops.einsum("bcd,bnd->bnc", ops.cast(attention, x.dtype), value), ops.shape(x))
        return ops.cast(self.gamma, x.dtype) * out + x
