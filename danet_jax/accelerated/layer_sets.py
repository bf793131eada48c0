"""The layer sets that have a name: see danet_common.config.layer_names; and convolutions with BatchNorm folded in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from danet_common.config import DANetConfig
from danet_common.config.layer_names import resolve_layers
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.precision import FLOAT32, Precision
from danet_common.numerics.winograd import is_eligible
from danet_jax.accelerated.attention import MemoryEfficientAttention
from danet_jax.accelerated.blocks import summed_once
from danet_jax.accelerated.pointwise import fastest_conv
from danet_jax.accelerated.precision import require_dtype
from danet_jax.accelerated.remat import remat
from danet_jax.accelerated.winograd import WinogradConv
from danet_jax.primitives import BatchNorm, Conv


@dataclass(frozen=True)
class Bound:
    """A maker of layers with some of its options fixed; equal makers are equal, which `functools.partial` is not.

    So equal networks have equal graph definitions, and share compiled programs.
    """

    maker: Callable[..., Any]
    options: tuple[tuple[str, Any], ...]

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.maker(*arguments, **dict(self.options), **options)


def bind(maker: Callable[..., Any], **options: Any) -> Bound:
    """Return a maker with these options fixed."""
    return Bound(maker, tuple(options.items()))


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
    eligible = is_eligible(kernel_size, stride, min(in_channels, out_channels))
    kind = WinogradConv if eligible else fastest_conv
    return kind(in_channels, out_channels, kernel_size, stride=stride, bias=True, **options)


def get_layers(layers: LayerSet | str, config: DANetConfig, precision: Precision) -> LayerSet:
    """Return the layer set of a name, for networks of this config; a LayerSet as it is.

    `auto` means JAX's default device. Raises ValueError for an unknown name, and for float64 where JAX has 32 bits;
    TypeError for neither.
    """
    chosen = layers if isinstance(layers, LayerSet) else named_layers(layers, config, precision)
    require_dtype(chosen.precision.compute_dtype)
    return chosen


def named_layers(name: str, config: DANetConfig, precision: Precision) -> LayerSet:
    """Return the layer set of a name."""
    name = resolve_layers(name, precision, jax.default_backend())
    plain = plain_layers(precision, config.batch_norm_epsilon, config.batch_norm_momentum)
    if name == "plain":
        return plain
    conv = bind(fastest_conv, dtype=precision.param_dtype)
    efficient = replace(plain, name=name, conv=conv, block=summed_once, attention=MemoryEfficientAttention)
    if name == "remat":
        return replace(efficient, remat=remat)
    if name == "cpu_inference":
        conv = bind(folded_conv, dtype=precision.param_dtype)
        return replace(efficient, conv=conv, norm=FoldedNorm, trainable=False)
    return efficient


def plain_layers(precision: Precision = FLOAT32, epsilon: float = 1e-5, momentum: float = 0.1) -> LayerSet:
    """Return the layers as they are written, in other dtypes, or with another BatchNorm."""
    return LayerSet(
        precision=precision,
        conv=bind(Conv, dtype=precision.param_dtype),
        norm=bind(BatchNorm, epsilon=epsilon, momentum=momentum, dtype=precision.accumulate_dtype),
    )
