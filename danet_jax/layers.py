"""The layers that the network is made of: convolution, batch normalisation, dropout, pooling, resizing.
They fix what frameworks leave open: symmetric zero padding, torch's BatchNorm, exact interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float

from danet_common.config.parameters import NORM_KINDS
from danet_common.numerics.precision import FLOAT32, Precision, accumulate_dtype
from danet_jax.module import ModeModule, Module

Definition = Callable[..., Array]  # such as attention.softmax_attention: (query, key, value, record) -> output
ModuleClass = TypeVar("ModuleClass", bound=type[nnx.Module])
LAYOUT = ("NHWC", "HWIO", "NHWC")  # of pixels, kernels and what a convolution makes of them


class Conv(Module):
    """Square convolution, zero-padded by dilation * (kernel_size // 2) on every side, in the dtype of its input."""

    kinds = ("kernel", "bias")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = dilation * (kernel_size // 2)
        self.dilation = dilation
        self.kernel = nnx.Param(jnp.zeros((kernel_size, kernel_size, in_channels, out_channels), dtype))
        self.bias = nnx.Param(jnp.zeros(out_channels, dtype)) if bias else None
        self.reset_parameters()

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b p q d"]:
        kernel, padding = self.kernel[...].astype(x.dtype), [(self.padding, self.padding)] * 2
        strides, dilations = (self.stride, self.stride), (self.dilation, self.dilation)
        out = jax.lax.conv_general_dilated(x, kernel, strides, padding, None, dilations, LAYOUT)
        return out if self.bias is None else out + self.bias[...].astype(x.dtype)


class BatchNorm(ModeModule):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * scale + bias

    Normalises by the biased variance of the batch, of all devices together, and keeps the unbiased one; in `dtype`, at
    least float32. Raises ValueError in training where a channel has a single value.
    """

    kinds = NORM_KINDS

    def __init__(self, channels: int, *, epsilon: float = 1e-5, momentum: float = 0.1, dtype: str = "float32") -> None:
        super().__init__()
        self.epsilon = epsilon
        self.momentum = momentum  # torch's sense: the weight of the new batch
        self.scale = nnx.Param(jnp.ones(channels, dtype))
        self.bias = nnx.Param(jnp.zeros(channels, dtype))
        self.mean = nnx.BatchStat(jnp.zeros(channels, dtype))
        self.var = nnx.BatchStat(jnp.ones(channels, dtype))
        self.num_batches_tracked = nnx.BatchStat(jnp.zeros((), jnp.int32))
        self.reset_parameters()

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        wide = upcast(x)
        mean, variance = (self.mean[...], self.var[...]) if self.use_running_average else self.update(wide)
        inverse = jax.lax.rsqrt(variance + self.epsilon) * self.scale[...]
        return ((wide - mean) * inverse + self.bias[...]).astype(x.dtype)

    def update(self, x: Float[Array, "b h w c"]) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        """Mean and biased variance of the batch, after moving the running statistics towards them."""
        count = x.size // x.shape[-1]
        if count == 1:
            raise ValueError(f"training needs more than one value per channel; got shape {x.shape}")
        mean = jnp.mean(x, (0, 1, 2))
        variance = jnp.mean(jnp.square(x - mean), (0, 1, 2))  # two passes: E[x^2] - E[x]^2 cancels
        unbiased = variance * (count / (count - 1))
        self.mean[...] += self.momentum * (jax.lax.stop_gradient(mean) - self.mean[...])
        self.var[...] += self.momentum * (jax.lax.stop_gradient(unbiased) - self.var[...])
        self.num_batches_tracked[...] += 1
        return mean, variance


def as_written(definition: Any) -> Any:
    """Return a class or a function as it is."""
    return definition


@dataclass(frozen=True)
class LayerSet:
    """How a network computes: the layers and functions that its modules are built from.

    conv       makes a convolution: (in_channels, out_channels, kernel_size, *, stride, dilation, bias)
    norm       makes what follows a convolution: (channels)
    block      class of a residual block -> the class to build
    remat      class of a residual block or a context module -> the class to build, under activation checkpointing
    attention  definition of attention -> a function that computes the same: (query, key, value, record)
    precision  dtypes of the weights, the activations and the sums
    trainable  False if the layers hold other tensors than a checkpoint: such a network cannot be trained or saved
    """

    name: str = "plain"
    precision: Precision = FLOAT32
    conv: Callable[..., nnx.Module] = Conv
    norm: Callable[[int], nnx.Module] = BatchNorm
    block: Callable[[ModuleClass], ModuleClass] = as_written
    remat: Callable[[ModuleClass], ModuleClass] = as_written
    attention: Callable[[Definition], Definition] = as_written
    trainable: bool = True


PLAIN = LayerSet()  # the text as it stands, in float32


class ConvNormAct(nnx.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, layers: LayerSet = PLAIN) -> None:
        self.conv = layers.conv(in_channels, out_channels, kernel_size)
        self.bn = layers.norm(out_channels)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        return jax.nn.relu(self.bn(self.conv(x)))


class Dropout(nnx.Dropout):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where kept, else 0

    Handed `kept`, (N, C) or like `x`, it does that in every mode; else it draws in training, as its framework does.
    """

    def __init__(self, rate: float, kind: str) -> None:
        super().__init__(rate, broadcast_dims=(1, 2) if kind == "channel" else (), rngs=nnx.Rngs(dropout=0))
        self.rate = rate
        self.kind = kind

    def __call__(  # type: ignore[override]
        self, x: Float[Array, "b h w c"], kept: Bool[Array, "b *hw c"] | None = None
    ) -> Float[Array, "b h w c"]:
        if kept is not None:
            return jnp.where(kept[:, None, None, :] if kept.ndim == 2 else kept, x / (1 - self.rate), 0)
        return super().__call__(x)


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b p q c"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    return nnx.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


def average_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b p q c"]:
    """2x2 mean, stride 2, over the pixels that exist: an odd last row or column is kept."""
    odd = ((0, x.shape[1] % 2), (0, x.shape[2] % 2))
    return nnx.avg_pool(x, (2, 2), (2, 2), odd, count_include_pad=False).astype(x.dtype)


def upcast(x: Array) -> Array:
    """Cast to float32, unless `x` is float64."""
    return x.astype(accumulate_dtype(x.dtype.name))


def interpolation_matrix(source: int, target: int, grid: str, like: Array) -> Float[Array, "target source"]:
    """Linear interpolation from `source` to `target` samples as a matrix.

    Sample i lies at numerator / denominator; the weight of sample j is max(0, 1 - distance to j).
    All in integers up to the last division, so that every weight is rounded once, in any dtype.
    """
    i = jnp.arange(target)
    if grid == "corners":  # first and last samples meet
        numerator, denominator = i * (source - 1), max(target - 1, 1)
    elif grid == "half_pixel":  # the edges of the first and last pixels meet
        numerator, denominator = (2 * i + 1) * source - target, 2 * target
    else:  # asymmetric: the first samples meet (Paddle's align_mode=1)
        numerator, denominator = i * source, target
    numerator = jnp.clip(numerator, 0, (source - 1) * denominator)
    distance = jnp.abs(numerator[:, None] - denominator * jnp.arange(source))
    return jnp.maximum(denominator - distance, 0).astype(like.dtype) / denominator


def resize(x: Float[Array, "b h w c"], size: Sequence[int], grid: str) -> Float[Array, "b o p c"]:
    """Bilinear resizing to (height, width) on the given grid, in at least float32."""
    x = upcast(x)
    rows = interpolation_matrix(x.shape[1], size[0], grid, like=x)
    columns = interpolation_matrix(x.shape[2], size[1], grid, like=x)
    return jnp.einsum("pw,bowc->bopc", columns, jnp.einsum("oh,bhwc->bowc", rows, x))
