"""Small layers that the backbone and the heads share: ConvNormAct, dropout, pooling and resizing."""

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
        return F.relu(self.bn(self.conv(x)))


class Dropout(nn.Module):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where `keep_mask` is true, else 0

    The mask, (N, C) or of x's shape, holds in every mode. Without it the framework draws, in training only.
    """

    def __init__(self, rate: float, unit: str) -> None:
        super().__init__()
        self.rate = rate
        self.unit = unit

    def forward(
        self, x: Float[Tensor, "b c h w"], keep_mask: Bool[Tensor, "b c *hw"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        if keep_mask is not None:
            return torch.where(
                keep_mask[:, :, None, None] if keep_mask.ndim == 2 else keep_mask, x / (1 - self.rate), 0
            )
        dropout = F.dropout2d if self.unit == "channel" else F.dropout
        return dropout(x, self.rate, self.training)


def max_pool(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    return F.max_pool2d(x, 3, 2, 1)


def average_pool(x: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c p q"]:
    """2x2 mean. At stride 2 it is over the pixels that exist: an odd last row or column is kept.

    At stride 1 the size stays: zeros follow the last row and column, and count as pixels (timm's AvgPool2dSame).
    """
    if stride == 1:
        return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)
    return F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)


def interpolation_matrix(source: int, target: int, grid: str, like: Tensor) -> Float[Tensor, "target source"]:
    """Return the linear interpolation from `source` to `target` samples as a matrix.

    Output i lies at numerator[i] / denominator among the inputs; the weight of input j is max(0, 1 - distance to j).
    It is computed in integers up to the last division, so each weight is rounded once.
    """
    numerator, denominator = sample_positions(torch.arange(target, device=like.device), source, target, grid)
    numerator = torch.clamp(numerator, 0, (source - 1) * denominator)
    distance = torch.abs(numerator[:, None] - denominator * torch.arange(source, device=like.device))
    return torch.clamp(denominator - distance, min=0).to(like.dtype) / denominator


def resize(x: Float[Tensor, "b c h w"], size: Sequence[int], grid: str) -> Float[Tensor, "b c o p"]:
    """Return `x` resized bilinearly to (height, width), in at least float32.

    grid  `corners` (align_corners=True), `half_pixel` (False) or `asymmetric` (Paddle's align_mode=1). No framework's
          own resizing has all three
    """
    x = upcast(x)
    rows = interpolation_matrix(x.shape[2], size[0], grid, like=x)
    columns = interpolation_matrix(x.shape[3], size[1], grid, like=x)
    return rows @ x @ columns.T
