"""A 3x3 convolution by Winograd's F(4x4, 3x3): see danet_common.winograd."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from danet_common import memory, winograd
from danet_common.winograd import KERNEL, SPAN, TILE

MATRIX = KERNEL.tolist()  # for PyTorch's compiler, which takes an array of NumPy for an input and watches it


def convolve(
    x: Float[Tensor, "b c h w"],
    kernel: Float[Tensor, "d c 3 3"],
    dilation: int,
    finish: Callable[[Tensor], object] | None = None,
) -> Float[Tensor, "b d h w"]:
    """The 3x3 convolution, zero-padded by its dilation, in bands of tiles."""
    height, width = x.shape[2:]
    pixels = x.permute(0, 2, 3, 1)  # no copy where channels are last in memory
    out: Tensor = InBands.apply(pixels, kernel, dilation, finish)
    return out[:, :height, :width].permute(0, 3, 1, 2)


class InBands(torch.autograd.Function):
    """The bands into one tensor. torch would follow every sum into its place; the gradients are those of the direct
    convolution. `finish` is called on each band, while it is in the cache, where no gradients are recorded."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, dilation: int, finish: Callable[[Tensor], object] | None
    ) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.dilation = dilation
        kernels = transform_kernels(kernel, x.new_tensor(MATRIX))
        batch, height, width, channels = x.shape
        rows, columns = winograd.tiles(height, dilation), winograd.tiles(width, dilation)
        step, entries = TILE * dilation, batch * max(min(channels, winograd.CHANNELS_AT_ONCE), kernels.shape[2])
        most = winograd.band(width, entries, dilation, winograd.CACHED_SIZE)
        share = winograd.phases(width, entries, dilation, winograd.CACHED_SIZE)
        out = empty(x, batch, rows * step, columns * step, kernels.shape[2])
        for first in range(0, rows, most):
            count = min(most, rows - first)
            top, bottom = first * step - dilation, (first + count) * step + dilation
            piece, above, below = x[:, max(top, 0) : bottom], max(-top, 0), max(bottom - height, 0)
            if above or below:
                piece = F.pad(piece, (0, 0, 0, 0, above, below))
            lines = piece.unflatten(1, (-1, dilation)).split(share, dim=2)
            band = out[:, first * step : (first + count) * step]
            places = band.unflatten(1, (count, TILE, dilation))
            for some_lines, some_places in zip(lines, places.split(share, dim=3), strict=True):
                convolve_tiles(some_lines, kernels, dilation, count, columns, some_places)
            if finish:
                finish(band)
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        pixels, cotangent = (t[:, : x.shape[1], : x.shape[2]].permute(0, 3, 1, 2) for t in (x, cotangent))
        around = {"padding": ctx.dilation, "dilation": ctx.dilation}
        of_x, of_kernel, *_ = ctx.needs_input_grad
        in_x = conv2d_input(pixels.shape, kernel, cotangent, **around).permute(0, 2, 3, 1) if of_x else None
        in_kernel = conv2d_weight(pixels, kernel.shape, cotangent, **around) if of_kernel else None
        return in_x, in_kernel, None, None


def transform_kernels(kernel: Float[Tensor, "d c 3 3"], matrix: Float[Tensor, "36 9"]) -> Float[Tensor, "36 c d"]:
    """What tiles are multiplied by, entry by entry: four times the kernels, so they are made when they are needed."""
    out = empty(kernel, kernel.shape[0], SPAN**2, kernel.shape[1])
    return torch.matmul(matrix, kernel.flatten(2).transpose(1, 2), out=out).permute(1, 2, 0)


def convolve_tiles(
    x: Float[Tensor, "b p phases w c"],
    kernels: Float[Tensor, "36 c d"],
    dilation: int,
    rows: int,
    columns: int,
    out: Float[Tensor, "b rows 4 phases v d"],
) -> None:
    """So many whole tiles; `x` has the pixels around them too."""
    out_channels, at_once = kernels.shape[2], winograd.CHANNELS_AT_ONCE
    products = x.new_empty(SPAN, SPAN, out.shape[0], rows, out.shape[3], columns, dilation, out_channels)
    sums = products.view(SPAN**2, -1, out_channels)
    for index, (some, matrices) in enumerate(zip(x.split(at_once, 4), kernels.split(at_once, 1), strict=True)):
        flat = transform_tiles(some, dilation, rows, columns)
        torch.baddbmm(sums, flat.view(SPAN**2, -1, some.shape[4]), matrices, beta=min(index, 1), out=sums)
    wide = x.new_empty(SPAN, *out.shape[:4], columns, dilation, out_channels)
    transform_products(products.unbind(0), wide.unbind(3))
    transform_products(wide.unbind(0), out.unflatten(4, (columns, TILE, dilation)).unbind(5))


def transform_tiles(
    x: Float[Tensor, "b p phases w c"], dilation: int, rows: int, columns: int
) -> Float[Tensor, "6 6 b rows phases columns dilation c"]:
    """What is multiplied, entry by entry of the tiles."""
    width, channels = x.shape[3:]
    step, starts = TILE * dilation, [i * dilation for i in range(SPAN)]
    lines = [x[:, i : i + rows * TILE : TILE] for i in range(SPAN)]
    tall = x.new_empty(SPAN, *lines[0].shape[:3], (columns + 1) * step + dilation, channels)  # tiles from top to bottom
    tall[..., :dilation, :] = 0  # the pixels to their left, and to their right
    tall[..., dilation + width :, :] = 0
    transform_pixels(lines, tall[..., dilation : dilation + width, :].unbind(0))
    pixels = [tall[..., j : j + columns * step, :].unflatten(4, (columns, step))[..., :dilation, :] for j in starts]
    flat = x.new_empty(SPAN, SPAN, *pixels[0].shape[1:])  # and from left to right
    transform_pixels(pixels, flat.unbind(1))
    return flat


def transform_pixels(pixels: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Of six pixels in a row, or in a column, what the paper's matrix B makes: B.T @ pixels."""
    first, second, third, fourth, fifth, sixth = pixels
    even, odd = fifth - third, fourth - second
    put(out[0], torch.add, even, first - third, 4)
    put(out[3], torch.add, even, odd, 2)
    put(out[4], torch.sub, even, odd, 2)
    put(out[5], torch.sub, sixth - fourth, odd, 4)
    even, odd = torch.sub(fifth, third, alpha=4), torch.sub(fourth, second, alpha=4)
    put(out[1], torch.add, even, odd)
    put(out[2], torch.sub, even, odd)


def transform_products(products: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Of six products of a tile's row, or column, its four outputs, by the paper's matrix A: A.T @ products."""
    first, second, third, fourth, fifth, sixth = products
    even, odd = second + third, fourth + fifth
    put(out[0], torch.add, first + even, odd)
    put(out[2], torch.add, even, odd, 4)
    even, odd = second - third, fourth - fifth
    put(out[1], torch.add, even, odd, 2)
    put(out[3], torch.add, torch.add(even, odd, alpha=8), sixth)


def put(place: Tensor, function: Callable[..., Tensor], one: Tensor, other: Tensor, factor: int = 1) -> None:
    """The sum or difference of one and so many times the other, in its place; by a copy where torch's compiler reads,
    which takes no place between others."""
    if torch.compiler.is_compiling():
        place.copy_(function(one, other, alpha=factor))
    else:
        function(one, other, alpha=factor, out=place)


def empty(like: Tensor, *shape: int) -> Tensor:
    """A tensor of any content, in memory that is used again where there is some for so much."""
    size = math.prod(shape) * like.element_size()
    lender = lends(size)
    return torch.from_numpy(lender.lend(size)).view(like.dtype).view(shape) if lender else like.new_empty(shape)


def lends(size: int) -> memory.Memory | None:
    """The memory that this pass has for tensors of so many bytes, where no gradients are recorded; PyTorch's compiler
    plans its own."""
    if size < memory.LARGE or torch.compiler.is_compiling() or torch.is_grad_enabled():
        return None
    return memory.current.get()
