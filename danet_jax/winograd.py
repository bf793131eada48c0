"""A 3x3 convolution by Winograd's F(4x4, 3x3): see danet_common.winograd."""

from __future__ import annotations

from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common import winograd
from danet_common.winograd import INPUT, OUTPUT, SPAN, TILE


def convolve(x: Float[Array, "b h w c"], kernels: Float[Array, "36 c d"], dilation: int) -> Float[Array, "b h w d"]:
    """The 3x3 convolution, zero-padded by its dilation, whose transformed kernels these are, in bands of tiles."""
    _, height, width, channels = x.shape
    rows, columns = winograd.tiles(height, dilation), winograd.tiles(width, dilation)
    step = TILE * dilation
    below, right = (rows + 1) * step - height, (columns + 1) * step - width
    x = jnp.pad(x, ((0, 0), (dilation, below), (dilation, right), (0, 0)))
    most = winograd.band(width, max(channels, kernels.shape[2]), dilation)
    bands = []
    for first in range(0, rows, most):
        count = min(most, rows - first)
        piece = x[:, first * step : (first + count + 1) * step + dilation]
        bands.append(convolve_tiles(piece, kernels, dilation, count, columns))
    return jnp.concatenate(bands, axis=1)[:, :height, :width]


def convolve_tiles(
    x: Float[Array, "b p q c"], kernels: Float[Array, "36 c d"], dilation: int, rows: int, columns: int
) -> Float[Array, "b h w d"]:
    """So many whole tiles; `x` has the pixels around them too."""
    batch, _, _, channels = x.shape
    step, out_channels = TILE * dilation, kernels.shape[2]
    pixels = []
    for i in range(SPAN):  # the tiles' pixels (i, j): of every tile, and of every phase of the dilation
        for j in range(SPAN):
            top, left = i * dilation, j * dilation
            moved = x[:, top : top + rows * step, left : left + columns * step]
            pixels.append(moved.reshape(batch, rows, step, columns, step, channels)[:, :, :dilation, :, :dilation])
    flat = jnp.stack(pixels).reshape(SPAN**2, -1)
    flat = jnp.einsum("kl,ln->kn", jnp.asarray(INPUT, x.dtype), flat)
    products = jnp.einsum("knc,kcd->knd", flat.reshape(SPAN**2, -1, channels), kernels)
    flat = jnp.einsum("kl,ln->kn", jnp.asarray(OUTPUT, x.dtype), products.reshape(SPAN**2, -1))
    out = flat.reshape(TILE, TILE, batch, rows, dilation, columns, dilation, out_channels)
    out = out.transpose(2, 3, 0, 4, 5, 1, 6, 7)
    return out.reshape(batch, rows * step, columns * step, out_channels)
