"""The cross-level gating decoder (Fu et al., TNNLS 2020), as the authors released it."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.numerics import Numerics
from danet_common.reduction import GATED_CHANNELS
from danet_common.stages import NO_STAGES, Stages
from danet_tf.layers import Conv, ConvNormAct, resize
from danet_tf.module import Module


@keras.saving.register_keras_serializable("danet")
class GatingDecoder(Module):
    """Deep features, enlarged, are joined with shallow ones that a gate weighs at each position.

    out = out(joined([gain * gate * low, high])),   gate = sigmoid(gate([low, high]))

    `low` is a 3x3 convolution of layer1 to 32 channels, `high` is `x` at layer1's size; `joined` and `out` are 3x3
    convolutions; all but the gate's have BatchNorm and ReLU. `gain`, the authors' gamma, starts at 1.
    """

    kinds = ("gain",)

    def __init__(self, low_channels: int, channels: int, grid: str, numerics: Numerics) -> None:
        super().__init__(numerics, low_channels=low_channels, channels=channels, grid=grid)
        self.grid = grid
        self.low = ConvNormAct(low_channels, GATED_CHANNELS, 3, numerics)
        self.gate = Conv(GATED_CHANNELS + channels, 1, 1, numerics, bias=True)
        self.joined = ConvNormAct(GATED_CHANNELS + channels, channels, 3, numerics)
        self.out = ConvNormAct(channels, channels, 3, numerics)
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.gain = self.add_weight(shape=(1,), initializer="ones", dtype=self.numerics.wide, name="gain")
        self.built = True

    def call(
        self, x: Float[Tensor, "b h w c"], layer1: Float[Tensor, "b o p d"], stages: Stages = NO_STAGES
    ) -> Float[Tensor, "b o p c"]:
        low = stages.keep("decoder_low", self.low(layer1))
        _, height, width, _ = ops.shape(low)
        high = ops.cast(resize(x, height, width, self.grid), x.dtype)
        gate = stages.keep("decoder_gate", ops.sigmoid(self.gate(ops.concatenate([low, high], axis=3))))
        gated = ops.cast(self.gain, x.dtype) * gate * low
        joined = stages.keep("decoder_joined", self.joined(ops.concatenate([gated, high], axis=3)))
        return stages.keep("decoder_out", self.out(joined))
