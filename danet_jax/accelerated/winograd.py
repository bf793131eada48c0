"""A 3x3 convolution by Winograd's F(4x4, 3x3): see danet_common.numerics.winograd."""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common.numerics import winograd
from danet_common.numerics.winograd import INPUT, KERNEL, OUTPUT, SPAN, TILE
from danet_jax.primitives import Conv


class WinogradConv(Conv):
    """A 3x3 convolution of stride 1, by fewer multiplications on large pictures in float32 and float64.

    In 16 bits the transforms would cancel too much: there it is an ordinary convolution.
    """

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        wide = x.dtype in (jnp.float32, jnp.float64)
        if not (wide and winograd.is_worthwhile(x.shape[1], x.shape[2], self.dilation)):
            return super().__call__(x)
        out = convolve(x, self.kernel[...].astype(x.dtype), self.dilation)
        return out if self.bias is None else out + self.bias[...].astype(x.dtype)


def convolve(x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c d"], dilation: int) -> Float[Array, "b h w d"]:
    """The 3x3 convolution, zero-padded by its dilation, in bands of tiles."""
    _, height, width, channels = x.shape
    rows, columns = winograd.tiles(height, dilation), winograd.tiles(width, dilation)
    step = TILE * dilation
    below, right = (rows + 1) * step - height, (columns + 1) * step - width
    pixel = jax.lax.stop_gradient(x[0, 0, 0, 0])  # without it XLA would transform all kernels beforehand, and keep them
    zero = jnp.where(jnp.isfinite(pixel), pixel - pixel, 0)  # NaN, of one picture, would be of all kernels
    kernels = transform_kernels(kernel, jnp.asarray(KERNEL, x.dtype) + zero)
    x = jnp.pad(x, ((0, 0), (dilation, below), (dilation, right), (0, 0)))
    most = winograd.band(width, max(channels, kernel.shape[3]), dilation, winograd.BAND_SIZE)
    bands = []
    for first in range(0, rows, most):
        count = min(most, rows - first)
        piece = x[:, first * step : (first + count + 1) * step + dilation]
        bands.append(convolve_tiles(piece, kernels, dilation, count, columns))
    return jnp.concatenate(bands, axis=1)[:, :height, :width]


def transform_kernels(kernel: Float[Array, "3 3 c d"], matrix: Float[Array, "36 9"]) -> Float[Array, "36 c d"]:
    """Return the kernels as tiles are multiplied by them: four times their size, so they are made when needed."""
    return jnp.einsum("kl,ln->kn", matrix, kernel.reshape(9, -1)).reshape(SPAN**2, *kernel.shape[2:])


def convolve_tiles(
    x: Float[Array, "b p q c"], kernels: Float[Array, "36 c d"], dilation: int, rows: int, columns: int
) -> Float[Array, "b h w d"]:
    """Return whole tiles of outputs; `x` has the pixels around them too."""
    batch, _, width, channels = x.shape
    step, out_channels, starts = TILE * dilation, kernels.shape[2], [i * dilation for i in range(SPAN)]
    cut = (batch, rows, step, width, channels)
    lines = [x[:, i : i + rows * step].reshape(cut)[:, :, :dilation] for i in starts]
    tall = jnp.stack(lines)  # (6, B, rows, dilation, Q, C): of each tile from top to bottom, for each phase
    cut_again = (SPAN, batch, rows, dilation, columns, step, channels)
    pixels = [tall[..., j : j + columns * step, :].reshape(cut_again)[..., :dilation, :] for j in starts]
    flat = jnp.stack(pixels, axis=1).reshape(SPAN**2, -1)  # (36, n): and from left to right
    flat = jnp.einsum("kl,ln->kn", jnp.asarray(INPUT, x.dtype), flat)
    products = jnp.einsum("knc,kcd->knd", flat.reshape(SPAN**2, -1, channels), kernels)
    flat = jnp.einsum("kl,ln->kn", jnp.asarray(OUTPUT, x.dtype), products.reshape(SPAN**2, -1))
    out = flat.reshape(TILE, TILE, batch, rows, dilation, columns, dilation, out_channels)
    out = out.transpose(2, 3, 0, 4, 5, 1, 6, 7)
    return out.reshape(batch, rows * step, columns * step, out_channels)
