"""A 3x3 convolution by Winograd's F(4x4, 3x3): see danet_common.numerics.winograd.

For `torch.compile` and `torch.export` it is one operator, of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from danet_common.numerics import winograd
from danet_common.numerics.winograd import KERNEL, SPAN, TILE
from danet_torch.accelerated.transforms import is_transformed
from danet_torch.primitives import Conv


class WinogradConv(Conv):
    """A 3x3 convolution of stride 1, by fewer multiplications on large pictures in float32 and float64.

    In 16 bits the transforms would cancel too much: there it is an ordinary convolution.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        weight = self.weight.to(x.dtype)
        if x.dtype not in (torch.float32, torch.float64) or is_transformed(x, weight):
            return super().forward(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        out: Tensor = winograd_operator(x, weight, bias, self.dilation[0])
        return out


@torch.library.custom_op("danet::winograd_convolution", mutates_args=())
def winograd_operator(x: Tensor, kernel: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """The 3x3 convolution, zero-padded by its dilation; computed directly where tiles would gain nothing."""
    if not winograd.is_worthwhile(x.shape[2], x.shape[3], dilation):
        out = F.conv2d(x, kernel, bias, padding=dilation, dilation=dilation)
        return out.contiguous(memory_format=torch.channels_last)
    return convolve(x, kernel, bias, dilation)


@winograd_operator.register_fake
def fake_convolution(x: Tensor, kernel: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Shape, dtype and layout of what `winograd_operator` returns."""
    return channels_last(x, x.shape[0], kernel.shape[0], x.shape[2], x.shape[3])


def keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Keep what the gradient needs."""
    x, kernel, _, ctx.dilation = inputs
    ctx.save_for_backward(x, kernel)


def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of the direct convolution."""
    x, kernel = ctx.saved_tensors
    around = {"padding": ctx.dilation, "dilation": ctx.dilation}
    by_x, by_kernel, by_bias, _ = ctx.needs_input_grad
    return (
        conv2d_input(x.shape, kernel, cotangent, **around) if by_x else None,
        conv2d_weight(x, kernel.shape, cotangent, **around) if by_kernel else None,
        cotangent.sum((0, 2, 3)) if by_bias else None,
        None,
    )


winograd_operator.register_autograd(backward, setup_context=keep_inputs)


def convolve(
    x: Float[Tensor, "b c h w"], kernel: Float[Tensor, "d c 3 3"], bias: Float[Tensor, " d"] | None, dilation: int
) -> Float[Tensor, "b d h w"]:
    """The convolution in bands of tiles, whose sums stay in the cache; channels last in memory."""
    pixels = x.permute(0, 2, 3, 1)  # no copy where channels are last in memory
    kernels = transform_kernels(kernel, x.new_tensor(KERNEL))
    batch, height, width, channels = pixels.shape
    rows, columns = winograd.tiles(height, dilation), winograd.tiles(width, dilation)
    step, entries = TILE * dilation, batch * max(min(channels, winograd.CHANNELS_AT_ONCE), kernels.shape[2])
    most = winograd.band(width, entries, dilation, winograd.CACHED_SIZE)
    share = winograd.phases(width, entries, dilation, winograd.CACHED_SIZE)
    whole = channels_last(x, batch, kernels.shape[2], rows * step, columns * step)
    out = whole.permute(0, 2, 3, 1)
    for first in range(0, rows, most):
        count = min(most, rows - first)
        top, bottom = first * step - dilation, (first + count) * step + dilation
        piece, above, below = pixels[:, max(top, 0) : bottom], max(-top, 0), max(bottom - height, 0)
        if above or below:
            piece = F.pad(piece, (0, 0, 0, 0, above, below))
        lines = piece.unflatten(1, (-1, dilation)).split(share, dim=2)
        band = out[:, first * step : (first + count) * step]
        places = band.unflatten(1, (count, TILE, dilation))
        for some_lines, some_places in zip(lines, places.split(share, dim=3), strict=True):
            convolve_tiles(some_lines, kernels, dilation, count, columns, some_places)
        if bias is not None:
            band += bias
    if whole.shape[2:] == x.shape[2:]:
        return whole
    return whole[:, :, :height, :width].clone(memory_format=torch.channels_last)  # no view: a ReLU may write into it


def channels_last(like: Tensor, *shape: int) -> Tensor:
    """Return a tensor (N, C, H, W) of any content, channels last in memory."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def transform_kernels(kernel: Float[Tensor, "d c 3 3"], matrix: Float[Tensor, "36 9"]) -> Float[Tensor, "36 c d"]:
    """Return the kernels as tiles are multiplied by them: four times their size, so they are made when needed."""
    return torch.matmul(matrix, kernel.flatten(2).transpose(1, 2)).permute(1, 2, 0)


def convolve_tiles(
    x: Float[Tensor, "b p phases w c"],
    kernels: Float[Tensor, "36 c d"],
    dilation: int,
    rows: int,
    columns: int,
    out: Float[Tensor, "b rows 4 phases v d"],
) -> None:
    """Write whole tiles of outputs; `x` has the pixels around them too."""
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
    """Return the transformed pixels of each tile, entry by entry."""
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
    """Write B.T @ pixels, B the paper's matrix, for six pixels in a row or in a column."""
    first, second, third, fourth, fifth, sixth = pixels
    even, odd = fifth - third, fourth - second
    torch.add(even, first - third, alpha=4, out=out[0])
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])
    torch.sub(sixth - fourth, odd, alpha=4, out=out[5])
    even, odd = torch.sub(fifth, third, alpha=4), torch.sub(fourth, second, alpha=4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])


def transform_products(products: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    """Write the four outputs A.T @ products, A the paper's matrix, for six products of a tile's row or column."""
    first, second, third, fourth, fifth, sixth = products
    even, odd = second + third, fourth + fifth
    torch.add(first + even, odd, out=out[0])
    torch.add(even, odd, alpha=4, out=out[2])
    even, odd = second - third, fourth - fifth
    torch.add(even, odd, alpha=2, out=out[1])
    torch.add(torch.add(even, odd, alpha=8), sixth, out=out[3])
