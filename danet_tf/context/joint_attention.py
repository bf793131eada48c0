"""Position and channel attention with joint projections: one convolution makes query, key and value.
Compact forms of Fu et al. (CVPR 2019, section 3), often written so in TensorFlow."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_tf.attention import softmax_attention, to_feature_map, to_positions
from danet_tf.module import Module
from danet_tf.primitives import PLAIN, upcast


@keras.saving.register_keras_serializable("danet")
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
        self.gamma = self.add_weight((1,), "zeros", layers.precision.accumulate_dtype, name="gamma")

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        projections = to_positions(taps.record("joint_position_projections", self.projections(x)))  # (B, N, 2Q + C)
        query, key, value = ops.split(projections, self.parts, axis=2)
        out = self.attention(query, key, value, taps.recorder("joint_position_map"))
        return ops.cast(self.gamma, x.dtype) * to_feature_map(out, x) + x


@keras.saving.register_keras_serializable("danet")
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
        self.gamma = self.add_weight((1,), "zeros", layers.precision.accumulate_dtype, name="gamma")

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        projections = to_positions(taps.record("joint_channel_projections", self.projections(x)))  # (B, N, 3C)
        query, key, value = ops.split(projections, 3, axis=2)
        energy = ops.einsum("bnc,bnd->bcd", upcast(query), upcast(key))  # (B, C, C), sums over N: large
        weights = taps.record("joint_channel_map", ops.softmax(energy, 2))
        out = ops.einsum("bcd,bnd->bnc", ops.cast(weights, x.dtype), value)
        return ops.cast(self.gamma, x.dtype) * to_feature_map(out, x) + x
