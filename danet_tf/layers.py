"""Small layers that the backbone and the heads share: ConvNormAct, dropout, pooling and resizing."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from jaxtyping import Bool, Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.interpolation import sample_positions
from danet_tf.accelerated.precision import larger_of
from danet_tf.module import Module
from danet_tf.primitives import PLAIN, upcast


@keras.saving.register_keras_serializable("danet")
class ConvNormAct(Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.conv = layers.conv(in_channels, out_channels, kernel_size)
        self.bn = layers.norm(out_channels)

    def call(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w d"]:
        return ops.relu(self.bn(self.conv(x)))


@keras.saving.register_keras_serializable("danet")
class Dropout(Module):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where `keep_mask` is true, else 0

    The mask, (N, C) or of x's shape, holds in every mode. Without it the framework draws, in training only.
    """

    def __init__(self, rate: float, unit: str) -> None:
        super().__init__()
        self.rate = rate
        self.unit = unit
        # Of draws without a mask; a training run makes its own masks.
        self.seed_generator = keras.random.SeedGenerator(0) if rate > 0 else None

    def call(
        self, x: Float[Tensor, "b h w c"], keep_mask: Bool[Tensor, "b *hw c"] | None = None, training: bool = False
    ) -> Float[Tensor, "b h w c"]:
        if keep_mask is not None:
            return ops.where(
                keep_mask[:, None, None, :] if len(keep_mask.shape) == 2 else keep_mask, x / (1 - self.rate), 0
            )
        if not training or self.seed_generator is None:
            return x
        batch, _, _, channels = ops.shape(x)
        shape = (batch, 1, 1, channels) if self.unit == "channel" else ops.shape(x)
        return keras.random.dropout(x, self.rate, shape, self.seed_generator)


def max_pool(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q c"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    padded = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=float("-inf"))
    return ops.max_pool(padded, 3, 2, "valid", "channels_last")


def average_pool(x: Float[Tensor, "b h w c"], stride: int) -> Float[Tensor, "b p q c"]:
    """2x2 mean. At stride 2 it is over the pixels that exist: an odd last row or column is kept.

    At stride 1 the size stays: zeros follow the last row and column, and count as pixels (timm's AvgPool2dSame).
    """
    if stride == 1:
        return ops.average_pool(ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))), 2, 1, "valid", "channels_last")
    return ops.average_pool(x, 2, 2, "same", "channels_last")


def interpolation_matrix(source: int, target: int, grid: str, like: Tensor) -> Float[Tensor, "target source"]:
    """Return the linear interpolation from `source` to `target` samples as a matrix.

    Output i lies at numerator[i] / denominator among the inputs; the weight of input j is max(0, 1 - distance to j).
    It is computed in integers up to the last division, so each weight is rounded once.
    """
    numerator, denominator = sample_positions(ops.arange(target, dtype="int32"), source, target, grid, larger_of)
    numerator = ops.clip(numerator, 0, (source - 1) * denominator)
    distance = ops.abs(numerator[:, None] - denominator * ops.arange(source, dtype="int32"))
    return ops.cast(ops.maximum(denominator - distance, 0), like.dtype) / ops.cast(denominator, like.dtype)


def resize(x: Float[Tensor, "b h w c"], size: Sequence[int], grid: str) -> Float[Tensor, "b o p c"]:
    """Return `x` resized bilinearly to (height, width), in at least float32.

    grid  `corners` (align_corners=True), `half_pixel` (False) or `asymmetric` (Paddle's align_mode=1). No framework's
          own resizing has all three
    """
    x = upcast(x)
    rows = interpolation_matrix(ops.shape(x)[1], size[0], grid, like=x)
    columns = interpolation_matrix(ops.shape(x)[2], size[1], grid, like=x)
    return ops.einsum("pw,bowc->bopc", columns, ops.einsum("oh,bhwc->bowc", rows, x))
