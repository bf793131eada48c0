"""BatchNorm folded into the convolution before it, for inference: see danet_common.numerics.folding."""

from __future__ import annotations

from typing import Any

from torch import nn

from danet_common.numerics.winograd import suits
from danet_torch.accelerated.winograd import WinogradConv
from danet_torch.primitives import Conv


class FoldedNorm(nn.Identity):
    """In the place of BatchNorm: the convolution before it has its factors and its shift."""


def folded_conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, bias: bool = True, **options: Any
) -> Conv:
    """Return a convolution with a bias, by Winograd's transforms where its sizes may gain from them."""
    eligible = suits(kernel_size, stride, min(in_channels, out_channels))
    kind = WinogradConv if eligible else Conv
    return kind(in_channels, out_channels, kernel_size, stride=stride, bias=True, **options)
