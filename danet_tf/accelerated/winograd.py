"""A 3x3 convolution by Winograd's F(4x4, 3x3): see danet_common.numerics.winograd."""

from __future__ import annotations

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.numerics import winograd
from danet_common.numerics.winograd import INPUT, KERNEL, OUTPUT, SPAN, TILE
from danet_tf.primitives import Conv


@keras.saving.register_keras_serializable("danet")
class WinogradConv(Conv):
    """A 3x3 convolution of stride 1, by fewer multiplications on large pictures of known size in float32 and float64.

    In 16 bits the transforms would cancel too much: there it is an ordinary convolution.
    """

    def call(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w d"]:
        _, height, width, _ = x.shape
        wide = keras.backend.standardize_dtype(x.dtype) in ("float32", "float64")
        if not (wide and height and width and winograd.is_worthwhile(height, width, self.dilation)):
            return super().call(x)
        out = convolve(x, ops.cast(self.kernel, x.dtype), self.dilation)
        return out if self.bias is None else out + ops.cast(self.bias, x.dtype)


def convolve(x: Float[Tensor, "b h w c"], kernel: Float[Tensor, "3 3 c d"], dilation: int) -> Float[Tensor, "b h w d"]:
    """The 3x3 convolution, zero-padded by its dilation, in bands of tiles."""
    _, height, width, channels = ops.shape(x)
    rows, columns = winograd.tiles(height, dilation), winograd.tiles(width, dilation)
    step = TILE * dilation
    below, right = (rows + 1) * step - height, (columns + 1) * step - width
    pixel = ops.stop_gradient(x[0, 0, 0, 0])  # without it all kernels would be transformed beforehand, and kept
    zero = ops.where(ops.isfinite(pixel), pixel - pixel, 0)  # NaN, of one picture, would be of all kernels
    kernels = transform_kernels(kernel, ops.convert_to_tensor(KERNEL, x.dtype) + zero)
    x = ops.pad(x, ((0, 0), (dilation, below), (dilation, right), (0, 0)))
    most = winograd.band(width, max(channels, kernel.shape[3]), dilation, winograd.BAND_SIZE)
    bands = []
    for first in range(0, rows, most):
        count = min(most, rows - first)
        piece = x[:, first * step : (first + count + 1) * step + dilation]
        bands.append(convolve_tiles(piece, kernels, dilation, count, columns))
    return ops.concatenate(bands, axis=1)[:, :height, :width]


def transform_kernels(kernel: Float[Tensor, "3 3 c d"], matrix: Float[Tensor, "36 9"]) -> Float[Tensor, "36 c d"]:
    """Return the kernels as tiles are multiplied by them: four times their size, so they are made when needed."""
    flat = ops.einsum("kl,ln->kn", matrix, ops.reshape(kernel, (9, -1)))
    return ops.reshape(flat, (SPAN**2, *kernel.shape[2:]))


def convolve_tiles(
    x: Float[Tensor, "b p q c"], kernels: Float[Tensor, "36 c d"], dilation: int, rows: int, columns: int
) -> Float[Tensor, "b h w d"]:
    """So many whole tiles; `x` has the pixels around them too."""
    batch, _, width, channels = ops.shape(x)
    step, out_channels, starts = TILE * dilation, kernels.shape[2], [i * dilation for i in range(SPAN)]
    cut = (batch, rows, step, width, channels)
    lines = [ops.reshape(x[:, i : i + rows * step], cut)[:, :, :dilation] for i in starts]
    tall = ops.stack(lines)  # (6, B, rows, dilation, Q, C): of each tile from top to bottom, for each phase
    cut_again = (SPAN, batch, rows, dilation, columns, step, channels)
    pixels = [ops.reshape(tall[..., j : j + columns * step, :], cut_again)[..., :dilation, :] for j in starts]
    flat = ops.reshape(ops.stack(pixels, axis=1), (SPAN**2, -1))  # (36, n): and from left to right
    flat = ops.einsum("kl,ln->kn", ops.convert_to_tensor(INPUT, x.dtype), flat)
    products = ops.einsum("knc,kcd->knd", ops.reshape(flat, (SPAN**2, -1, channels)), kernels)
    flat = ops.einsum("kl,ln->kn", ops.convert_to_tensor(OUTPUT, x.dtype), ops.reshape(products, (SPAN**2, -1)))
    out = ops.reshape(flat, (TILE, TILE, batch, rows, dilation, columns, dilation, out_channels))
    out = ops.transpose(out, (2, 3, 0, 4, 5, 1, 6, 7))
    return ops.reshape(out, (batch, rows * step, columns * step, out_channels))
