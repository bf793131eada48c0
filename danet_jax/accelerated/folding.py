"""BatchNorm folded into the convolution before it, for inference: see danet_common.numerics.folding."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jax import Array
from jaxtyping import Float

from danet_common.numerics.winograd import suits
from danet_jax.accelerated.pointwise import fastest_conv
from danet_jax.accelerated.winograd import WinogradConv
from danet_jax.primitives import Conv


class FoldedNorm(nnx.Module):
    """In the place of BatchNorm: the convolution before it has its factors and its shift."""

    def __init__(self, channels: int) -> None:
        pass

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return x


def folded_conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, bias: bool = True, **options: Any
) -> Conv:
    """Return a convolution with a bias, by Winograd's transforms where its sizes may gain from them."""
    eligible = suits(kernel_size, stride, min(in_channels, out_channels))
    kind = WinogradConv if eligible else fastest_conv
    return kind(in_channels, out_channels, kernel_size, stride=stride, bias=True, **options)
