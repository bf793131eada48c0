"""Squeeze-and-excitation (Hu et al., CVPR 2018, section 3)."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.context_sizes import reduced
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_tf.accelerated.precision import mean_of
from danet_tf.module import Module
from danet_tf.primitives import PLAIN, upcast


@keras.saving.register_keras_serializable("danet")
class SqueezeExcitation(Module):
    """Each channel is weighed by what all channels are on average.

    out = gate * x,   gate = sigmoid(expand(relu(reduce(mean of x over the positions))))

    `reduce` and `expand` are the paper's W1 and W2 (eq. 3), with biases, as in the authors' models. Copies that compute
    the mean and then make the gate of `x` itself are another module.
    """

    def __init__(self, channels: int, reduction: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        hidden = reduced(channels, reduction)
        self.reduce = layers.conv(channels, hidden, 1, bias=True)
        self.expand = layers.conv(hidden, channels, 1, bias=True)

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        mean = ops.cast(mean_of(upcast(x), (1, 2), keepdims=True), x.dtype)  # the squeeze
        gate = ops.sigmoid(self.expand(ops.relu(self.reduce(mean))))
        return taps.record("squeeze_excitation_gate", gate) * x
