"""The cross-level gating decoder (Fu et al., TNNLS 2020), as the authors released it."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.context_sizes import GATED_CHANNELS
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_tf.layers import ConvNormAct, resize
from danet_tf.module import Module
from danet_tf.primitives import PLAIN


@keras.saving.register_keras_serializable("danet")
class GatingDecoder(Module):
    """Deep features, enlarged, are joined with shallow ones that a gate weighs at each position.

    out = out(joined([gain * gate * low, high])),   gate = sigmoid(gate([low, high]))

    `low` is a 3x3 convolution of layer1 to 32 channels, `high` is `x` at layer1's size; `joined` and `out` are 3x3
    convolutions; all but the gate's have BatchNorm and ReLU. `gain`, the authors' gamma, starts at 1.
    """

    tensor_kinds = ("gain",)

    def __init__(self, low_channels: int, channels: int, grid: str, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.grid = grid
        self.low = ConvNormAct(low_channels, GATED_CHANNELS, 3, layers)
        self.gate = layers.conv(GATED_CHANNELS + channels, 1, 1, bias=True)
        self.joined = ConvNormAct(GATED_CHANNELS + channels, channels, 3, layers)
        self.out = ConvNormAct(channels, channels, 3, layers)
        self.gain = self.add_weight((1,), "ones", layers.precision.accumulate_dtype, name="gain")

    def call(
        self, x: Float[Tensor, "b h w c"], layer1: Float[Tensor, "b o p d"], taps: Taps = NO_TAPS
    ) -> Float[Tensor, "b o p c"]:
        low = taps.record("decoder_low", self.low(layer1))
        high = ops.cast(resize(x, ops.shape(low)[1:3], self.grid), x.dtype)
        gate = taps.record("decoder_gate", ops.sigmoid(self.gate(ops.concatenate([low, high], axis=3))))
        gated = ops.cast(self.gain, x.dtype) * gate * low
        joined = taps.record("decoder_joined", self.joined(ops.concatenate([gated, high], axis=3)))
        return taps.record("decoder_out", self.out(joined))
