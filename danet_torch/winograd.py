"""A 3x3 convolution by Winograd's F(4x4, 3x3): see danet_common.winograd."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from danet_common import winograd
from danet_common.winograd import INPUT, OUTPUT, SPAN, TILE


def convolve(x: Float[Tensor, "b c h w"], kernels: Float[Tensor, "36 c d"], dilation: int) -> Float[Tensor, "b d h w"]:
    """The 3x3 convolution, zero-padded by its dilation, whose transformed kernels these are, in bands of tiles."""
    x = x.permute(0, 2, 3, 1)  # no copy where channels are last in memory
    _, height, width, channels = x.shape
    rows, columns = winograd.tiles(height, dilation), winograd.tiles(width, dilation)
    step = TILE * dilation
    below, right = (rows + 1) * step - height, (columns + 1) * step - width
    x = F.pad(x, (0, 0, dilation, right, dilation, below))
    most = winograd.band(width, max(channels, kernels.shape[2]), dilation)
    bands = []
    for first in range(0, rows, most):
        count = min(most, rows - first)
        piece = x[:, first * step : (first + count + 1) * step + dilation]
        bands.append(convolve_tiles(piece, kernels, dilation, count, columns))
    return torch.cat(bands, dim=1)[:, :height, :width].permute(0, 3, 1, 2)


def convolve_tiles(
    x: Float[Tensor, "b p q c"], kernels: Float[Tensor, "36 c d"], dilation: int, rows: int, columns: int
) -> Float[Tensor, "b h w d"]:
    """So many whole tiles; `x` has the pixels around them too."""
    batch, _, width, channels = x.shape
    step, out_channels, starts = TILE * dilation, kernels.shape[2], [i * dilation for i in range(SPAN)]
    cut = (batch, rows, step, width, channels)
    lines = [x[:, i : i + rows * step].reshape(cut)[:, :, :dilation] for i in starts]
    tall = torch.stack(lines)  # (6, B, rows, dilation, Q, C): of each tile from top to bottom, for each phase
    cut_again = (SPAN, batch, rows, dilation, columns, step, channels)
    pixels = [tall[..., j : j + columns * step, :].reshape(cut_again)[..., :dilation, :] for j in starts]
    flat = torch.stack(pixels, dim=1).reshape(SPAN**2, -1)  # (36, n): and from left to right
    flat = torch.einsum("kl,ln->kn", torch.as_tensor(INPUT, dtype=x.dtype, device=x.device), flat)
    products = torch.einsum("knc,kcd->knd", flat.reshape(SPAN**2, -1, channels), kernels)
    flat = torch.einsum(
        "kl,ln->kn", torch.as_tensor(OUTPUT, dtype=x.dtype, device=x.device), products.reshape(SPAN**2, -1)
    )
    out = flat.reshape(TILE, TILE, batch, rows, dilation, columns, dilation, out_channels)
    out = out.permute(2, 3, 0, 4, 5, 1, 6, 7)
    return out.reshape(batch, rows * step, columns * step, out_channels)
