"""A 3x3 convolution by Winograd's F(4x4, 3x3): see danet_common.winograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from danet_common import winograd
from danet_common.winograd import KERNEL, SPAN, TILE


def convolve(x: Float[Tensor, "b c h w"], kernels: Float[Tensor, "36 c d"], dilation: int) -> Float[Tensor, "b d h w"]:
    """The 3x3 convolution, zero-padded by its dilation, whose transformed kernels these are, in bands of tiles."""
    height, width = x.shape[2:]
    out: Tensor = InBands.apply(x.permute(0, 2, 3, 1), kernels, dilation)  # no copy where channels are last in memory
    return out[:, :height, :width].permute(0, 3, 1, 2)


class InBands(torch.autograd.Function):
    """The bands into one tensor. torch would follow every sum into its place; the gradient is that of the direct
    convolution, of the pixels alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(kernels)
        ctx.shape, ctx.dilation = x.shape, dilation
        batch, height, width, channels = x.shape
        rows, columns = winograd.tiles(height, dilation), winograd.tiles(width, dilation)
        step = TILE * dilation
        most = winograd.band(width, batch * max(channels, kernels.shape[2]), dilation, winograd.CACHED_SIZE)
        out = x.new_empty(batch, rows * step, columns * step, kernels.shape[2])
        for first in range(0, rows, most):
            count = min(most, rows - first)
            top, bottom = first * step - dilation, (first + count + 1) * step
            sides = (0, 0, dilation, (columns + 1) * step - width, max(-top, 0), max(bottom - height, 0))
            piece, places = F.pad(x[:, max(top, 0) : bottom], sides), out[:, first * step : (first + count) * step]
            convolve_tiles(piece, kernels, dilation, count, columns, places)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        (kernels,) = ctx.saved_tensors
        batch, height, width, channels = ctx.shape
        weight = torch.einsum("lk,kcd->dcl", kernels.new_tensor(np.linalg.pinv(KERNEL)), kernels).unflatten(2, (3, 3))
        shape, cotangent = (batch, channels, height, width), cotangent[:, :height, :width].permute(0, 3, 1, 2)
        of_x = conv2d_input(shape, weight, cotangent, padding=ctx.dilation, dilation=ctx.dilation)
        return of_x.permute(0, 2, 3, 1), None, None


def convolve_tiles(
    x: Float[Tensor, "b p q c"],
    kernels: Float[Tensor, "36 c d"],
    dilation: int,
    rows: int,
    columns: int,
    out: Float[Tensor, "b h w d"],
) -> None:
    """So many whole tiles; `x` has the pixels around them too."""
    batch, _, width, channels = x.shape
    step, out_channels, starts = TILE * dilation, kernels.shape[2], [i * dilation for i in range(SPAN)]
    cut = (batch, rows, step, width, channels)
    lines = [x[:, i : i + rows * step].reshape(cut)[:, :, :dilation] for i in starts]
    tall = x.new_empty(SPAN, batch, rows, dilation, width, channels)  # of tiles from top to bottom
    transform_pixels(lines, tall.unbind(0))
    cut_again = (SPAN, batch, rows, dilation, columns, step, channels)
    pixels = [tall[..., j : j + columns * step, :].reshape(cut_again)[..., :dilation, :] for j in starts]
    flat = x.new_empty(SPAN, SPAN, batch, rows, dilation, columns, dilation, channels)  # and from left to right
    transform_pixels(pixels, flat.unbind(1))
    products = torch.einsum("knc,kcd->knd", flat.reshape(SPAN**2, -1, channels), kernels)
    products = products.reshape(SPAN, SPAN, batch, rows, dilation, columns, dilation, out_channels)
    wide = x.new_empty(SPAN, batch, rows, TILE, dilation, columns, dilation, out_channels)
    transform_products(products.unbind(0), wide.unbind(3))
    places = out.view(batch, rows, TILE, dilation, columns, TILE, dilation, out_channels)  # in the picture's order
    transform_products(wide.unbind(0), places.unbind(5))


def transform_pixels(pixels: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Of six pixels in a row, or in a column, what the paper's matrix B makes: B.T @ pixels."""
    first, second, third, fourth, fifth, sixth = pixels
    even, odd = fifth - third, fourth - second
    out[0].copy_(torch.add(even, first - third, alpha=4))
    out[3].copy_(torch.add(even, odd, alpha=2))
    out[4].copy_(torch.sub(even, odd, alpha=2))
    out[5].copy_(torch.sub(sixth - fourth, odd, alpha=4))
    even, odd = torch.sub(fifth, third, alpha=4), torch.sub(fourth, second, alpha=4)
    out[1].copy_(even + odd)
    out[2].copy_(even - odd)


def transform_products(products: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Of six products of a tile's row, or column, its four outputs, by the paper's matrix A: A.T @ products."""
    first, second, third, fourth, fifth, sixth = products
    even, odd = second + third, fourth + fifth
    out[0].copy_(first + even + odd)
    out[2].copy_(torch.add(even, odd, alpha=4))
    even, odd = second - third, fourth - fifth
    out[1].copy_(torch.add(even, odd, alpha=2))
    out[3].copy_(torch.add(even, odd, alpha=8) + sixth)
