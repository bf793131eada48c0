"""The self-attention of SAGAN (Zhang et al., ICML 2019, section 3)."""

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
class SelfAttention(Module):
    """Each position gathers features from all positions, in fewer channels, which a last convolution makes C again.

    out = gamma * residual(attention @ value) + x,   attention = softmax(query @ key)

    The paper's g, f, h and v, in this order `query`, `key`, `value` and `residual`: C / 8 channels, no biases. `gamma`
    starts at 0. The authors' code has C / 2 channels of values, and pools keys and values to maxima of 2x2 positions;
    many copies have no v but C channels of values, as `PositionAttention`. A large map is made in slices: `slice_size`
    of its entries for each picture at once.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__(numerics, channels=channels, query_channels=query_channels)
        self.query = Conv(channels, query_channels, 1, numerics)
        self.key = Conv(channels, query_channels, 1, numerics)
        self.value = Conv(channels, query_channels, 1, numerics)
        self.residual = Conv(query_channels, channels, 1, numerics)
        self.slice_size = slices.SLICE_SIZE
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", dtype=self.numerics.wide, name="gamma")
        self.built = True

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        query = flatten(widen(stages.keep("self_attention_query", self.query(x))))  # (B, N, Q), N = H*W
        key = flatten(widen(stages.keep("self_attention_key", self.key(x))))
        value = flatten(stages.keep("self_attention_value", self.value(x)))
        stages = stages.renamed("position_map", "self_attention_map")
        out = attend(query, key, value, self.slice_size, stages)
        out = self.residual(ops.reshape(out, (*ops.shape(x)[:3], out.shape[2])))
        return ops.cast(self.gamma, x.dtype) * out + x
