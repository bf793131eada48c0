"""BatchNorm folded into the convolution before it, for inference: see danet_common.numerics.folding."""

from __future__ import annotations

from typing import Any

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor

from danet_common.numerics.winograd import suits
from danet_tf.accelerated.winograd import WinogradConv
from danet_tf.module import Module
from danet_tf.primitives import Conv


@keras.saving.register_keras_serializable("danet")
class FoldedNorm(Module):
    """In the place of BatchNorm: the convolution before it has its factors and its shift."""

    def __init__(self, channels: int, *, dtype: str = "float32") -> None:
        super().__init__()

    def call(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x


def folded_conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, bias: bool = True, **options: Any
) -> Conv:
    """Return a convolution with a bias, by Winograd's transforms where its sizes may gain from them."""
    eligible = suits(kernel_size, stride, min(in_channels, out_channels))
    kind = WinogradConv if eligible else Conv
    return kind(in_channels, out_channels, kernel_size, stride=stride, bias=True, **options)
