"""Small layers that the backbone and the heads share: ConvNormAct, dropout, pooling and resizing."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.interpolation import sample_positions
from danet_jax.primitives import PLAIN, upcast


class ConvNormAct(nnx.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, layers: LayerSet = PLAIN) -> None:
        self.conv = layers.conv(in_channels, out_channels, kernel_size)
        self.bn = layers.norm(out_channels)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        return jax.nn.relu(self.bn(self.conv(x)))


class Dropout(nnx.Dropout):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where `keep_mask` is true, else 0

    The mask, (N, C) or of x's shape, holds in every mode. Without it the framework draws, in training only.
    """

    def __init__(self, rate: float, unit: str) -> None:
        # The seed is of draws without a mask; a training run makes its own masks.
        super().__init__(rate, broadcast_dims=(1, 2) if unit == "channel" else (), rngs=nnx.Rngs(dropout=0))
        self.rate = rate
        self.unit = unit

    def __call__(  # type: ignore[override]
        self, x: Float[Array, "b h w c"], keep_mask: Bool[Array, "b *hw c"] | None = None
    ) -> Float[Array, "b h w c"]:
        if keep_mask is not None:
            full_mask = keep_mask[:, None, None, :] if keep_mask.ndim == 2 else keep_mask
            return jnp.where(full_mask, x / (1 - self.rate), 0)
        return super().__call__(x)


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b p q c"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    return nnx.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


def average_pool(x: Float[Array, "b h w c"], stride: int) -> Float[Array, "b p q c"]:
    """2x2 mean. At stride 2 it is over the pixels that exist: an odd last row or column is kept.

    At stride 1 the size stays: zeros follow the last row and column, and count as pixels (timm's AvgPool2dSame).
    """
    if stride == 1:
        return nnx.avg_pool(x, (2, 2), (1, 1), ((0, 1), (0, 1)))
    odd = ((0, x.shape[1] % 2), (0, x.shape[2] % 2))
    return nnx.avg_pool(x, (2, 2), (2, 2), odd, count_include_pad=False).astype(x.dtype)


def interpolation_matrix(source: int, target: int, grid: str, like: Array) -> Float[Array, "target source"]:
    """Return the linear interpolation from `source` to `target` samples as a matrix.

    Output i lies at numerator[i] / denominator among the inputs; the weight of input j is max(0, 1 - distance to j).
    It is computed in integers up to the last division, so each weight is rounded once.
    """
    numerator, denominator = sample_positions(jnp.arange(target), source, target, grid)
    numerator = jnp.clip(numerator, 0, (source - 1) * denominator)
    distance = jnp.abs(numerator[:, None] - denominator * jnp.arange(source))
    return jnp.maximum(denominator - distance, 0).astype(like.dtype) / denominator


def resize(x: Float[Array, "b h w c"], size: Sequence[int], grid: str) -> Float[Array, "b o p c"]:
    """Return `x` resized bilinearly to (height, width), in at least float32.

    grid  `corners` (align_corners=True), `half_pixel` (False) or `asymmetric` (Paddle's align_mode=1). No framework's
          own resizing has all three
    """
    x = upcast(x)
    rows = interpolation_matrix(x.shape[1], size[0], grid, like=x)
    columns = interpolation_matrix(x.shape[2], size[1], grid, like=x)
    return jnp.einsum("pw,bowc->bopc", columns, jnp.einsum("oh,bhwc->bowc", rows, x))
