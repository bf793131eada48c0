"""The small layers and functions that the network is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.interpolation import sample_positions
from danet_torch.primitives import PLAIN, upcast


class ConvNormAct(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.conv = layers.conv(in_channels, out_channels, kernel_size)
        self.bn = layers.norm(out_channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return F.relu_(self.bn(self.conv(x)))


class Dropout(nn.Module):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where kept, else 0

    Handed `kept`, (N, C) or like `x`, it does that in every mode; else it draws in training, as its framework does.
    """

    def __init__(self, rate: float, kind: str) -> None:
        super().__init__()
        self.rate = rate
        self.kind = kind

    def forward(
        self, x: Float[Tensor, "b c h w"], kept: Bool[Tensor, "b c *hw"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        if kept is not None:
            return torch.where(kept[:, :, None, None] if kept.ndim == 2 else kept, x / (1 - self.rate), 0)
        dropout = F.dropout2d if self.kind == "channel" else F.dropout
        return dropout(x, self.rate, self.training)


def max_pool(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    return F.max_pool2d(x, 3, 2, 1)


def average_pool(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """2x2 mean, stride 2, over the pixels that exist: an odd last row or column is kept."""
    return F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)


def interpolation_matrix(source: int, target: int, grid: str, like: Tensor) -> Float[Tensor, "target source"]:
    """Linear interpolation from `source` to `target` samples as a matrix.

    Sample i lies at numerator / denominator; the weight of sample j is max(0, 1 - distance to j).
    All in integers up to the last division, so that every weight is rounded once, in any dtype.
    """
    numerator, denominator = sample_positions(torch.arange(target, device=like.device), source, target, grid)
    numerator = torch.clamp(numerator, 0, (source - 1) * denominator)
    distance = torch.abs(numerator[:, None] - denominator * torch.arange(source, device=like.device))
    return torch.clamp(denominator - distance, min=0).to(like.dtype) / denominator


def resize(x: Float[Tensor, "b c h w"], size: Sequence[int], grid: str) -> Float[Tensor, "b c o p"]:
    """Bilinear resizing to (height, width) on the given grid, in at least float32."""
    x = upcast(x)
    rows = interpolation_matrix(x.shape[2], size[0], grid, like=x)
    columns = interpolation_matrix(x.shape[3], size[1], grid, like=x)
    return rows @ x @ columns.T
