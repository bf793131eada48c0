"""The layers that the network is made of: convolution, batch normalisation, dropout, pooling, resizing.
They fix what frameworks leave open: symmetric zero padding, torch's BatchNorm, exact interpolation."""

from __future__ import annotations

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float

from danet_common.numerics import Numerics, widened
from danet_common.parameters import NORM_KINDS
from danet_common.winograd import covers, suits
from danet_jax.accelerated.winograd import convolve
from danet_jax.module import Module


class Conv(Module):
    """Square convolution, zero-padded by dilation * (kernel_size // 2) on every side.

    In a folded network each has a bias; one of `numerics.winograd` is computed by `winograd.convolve` where that gains.
    """

    kinds = ("kernel", "bias")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        numerics: Numerics,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.padding = dilation * (kernel_size // 2)
        self.stride = stride
        self.dilation = dilation
        self.folded = numerics.folded
        self.kernel = nnx.Param(jnp.zeros(shape, numerics.kernels))
        self.bias = nnx.Param(jnp.zeros(out_channels, numerics.kernels)) if bias or numerics.folded else None
        self.winograd = numerics.winograd and suits(kernel_size, stride, min(in_channels, out_channels))
        self.reset_parameters()

    def __call__(
        self, x: Float[Array, "b h w c"], plus: Float[Array, "b p q d"] | None = None, relu: bool = False
    ) -> Float[Array, "b p q d"]:
        """The convolution, and in a folded network what follows it: `plus` is added, and `relu` taken."""
        if self.winograd and covers(x.shape[1], x.shape[2], self.dilation):
            out = convolve(x, self.kernel[...].astype(x.dtype), self.dilation)
        elif self.kernel.shape[:2] == (1, 1):  # a matrix product, which XLA computes faster than a convolution on a CPU
            out = jnp.einsum("bhwc,cd->bhwd", x[:, :: self.stride, :: self.stride], self.kernel[0, 0].astype(x.dtype))
        else:
            out = jax.lax.conv_general_dilated(
                x,
                self.kernel[...].astype(x.dtype),
                window_strides=(self.stride, self.stride),
                padding=[(self.padding, self.padding)] * 2,
                rhs_dilation=(self.dilation, self.dilation),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        out = out if self.bias is None else out + self.bias[...].astype(x.dtype)
        out = out if plus is None else out + plus
        return jax.nn.relu(out) if relu else out


class BatchNorm(Module):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * scale + bias

    Normalises by the biased variance of the batch, of all devices together, and keeps the unbiased one; at least
    float32. Raises ValueError in training where a channel has a single value. In a folded network it does nothing.
    """

    kinds = NORM_KINDS

    def __init__(self, channels: int, numerics: Numerics) -> None:
        super().__init__()
        self.epsilon = numerics.epsilon
        self.momentum = numerics.momentum  # torch's sense: the weight of the new batch
        self.use_running_average = False  # set by model.train() and model.eval()
        self.folded = numerics.folded
        if self.folded:
            return
        self.scale = nnx.Param(jnp.ones(channels, numerics.wide))
        self.bias = nnx.Param(jnp.zeros(channels, numerics.wide))
        self.mean = nnx.BatchStat(jnp.zeros(channels, numerics.wide))
        self.var = nnx.BatchStat(jnp.ones(channels, numerics.wide))
        self.num_batches_tracked = nnx.BatchStat(jnp.zeros((), jnp.int32))
        self.reset_parameters()

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        if self.folded:
            return x
        wide = widen(x)
        if self.use_running_average:
            mean, variance = self.mean[...], self.var[...]
        else:
            mean, variance = self.update(wide)
        inverse = jax.lax.rsqrt(variance + self.epsilon) * self.scale[...]
        return ((wide - mean) * inverse + self.bias[...]).astype(x.dtype)

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Set the mode of a view, which `nnx.view` makes.

        Args:
          use_running_average: if True, normalise by the running statistics; if False, by those of the batch.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average

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


class ConvNormAct(nnx.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, numerics: Numerics) -> None:
        self.conv = Conv(in_channels, out_channels, kernel_size, numerics)
        self.bn = BatchNorm(out_channels, numerics)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        return norm_act(self.conv, self.bn, x)


def norm_act(
    conv: Conv, bn: BatchNorm, x: Float[Array, "b h w c"], plus: Float[Array, "b p q d"] | None = None
) -> Float[Array, "b p q d"]:
    """Convolution, BatchNorm, ReLU; `plus`, a block's shortcut, is added before the ReLU."""
    if conv.folded:
        return conv(x, plus=plus, relu=True)
    out = bn(conv(x))
    return jax.nn.relu(out if plus is None else out + plus)


class Dropout(nnx.Module):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where kept, else 0

    Handed `kept`, (N, C) or like `x`, it does that in every mode; else it draws in training, as its framework does.
    """

    def __init__(self, rate: float, kind: str) -> None:
        self.rate = rate
        self.kind = kind
        self.deterministic = False  # set by model.train() and model.eval()
        self.rngs = nnx.Rngs(dropout=0) if rate > 0 else None

    def __call__(
        self, x: Float[Array, "b h w c"], kept: Bool[Array, "b *hw c"] | None = None
    ) -> Float[Array, "b h w c"]:
        if kept is not None:
            return jnp.where(kept[:, None, None, :] if kept.ndim == 2 else kept, x / (1 - self.rate), 0)
        if self.deterministic or self.rngs is None:
            return x
        shape = (x.shape[0], 1, 1, x.shape[3]) if self.kind == "channel" else x.shape
        kept = jax.random.bernoulli(self.rngs.dropout(), 1 - self.rate, shape)
        return jnp.where(kept, x / (1 - self.rate), 0)

    def set_view(self, deterministic: bool | None = None) -> None:
        """Set the mode of a view, which `nnx.view` makes.

        Args:
          deterministic: if True, drop nothing.
        """
        if deterministic is not None:
            self.deterministic = deterministic


Kept = tuple[nnx.State, nnx.State, Array]


def recomputed(module: nnx.Module, x: Float[Array, "b h w c"]) -> Float[Array, "b p q d"]:
    """What a module makes of `x`; the gradient computes all that leads to it again, so that only `x` is kept.

    The running statistics move once.
    """
    graph, state = nnx.split(module)
    weights, rest = nnx.split_state(state, nnx.Param, ...)

    def call(weights: nnx.State, rest: nnx.State, x: Array) -> tuple[Array, nnx.State]:
        copy = nnx.merge(graph, weights, rest, copy=True)  # these may move again
        return copy(x), nnx.state(copy, nnx.Not(nnx.Param))

    def forward(weights: nnx.State, rest: nnx.State, x: Array) -> tuple[tuple[Array, nnx.State], Kept]:
        return call(weights, rest, x), (weights, rest, x)

    def backward(kept: Kept, cotangents: tuple[Array, nnx.State]) -> tuple[nnx.State, None, Array]:
        weights, rest, x = kept
        _, pullback = jax.vjp(lambda weights, x: call(weights, rest, x)[0], weights, after(x, cotangents[0]))
        of_weights, of_x = pullback(cotangents[0])
        return of_weights, None, of_x

    again = jax.custom_vjp(call)
    again.defvjp(forward, backward)
    out, moved = again(weights, rest, x)
    nnx.update(module, moved)
    return out


def after(x: Float[Array, "b h w c"], cotangent: Float[Array, "b p q d"]) -> Float[Array, "b h w c"]:
    """`x`, for what may only be computed from it once there is a cotangent; else XLA would find it computed before.

    On a CPU it removes `jax.checkpoint`'s barriers before it looks, and so keeps all that was to be computed again.
    """

    def summed(x: Array, cotangent: Array) -> Array:
        first = cotangent[0, 0, 0, 0].astype(x.dtype)
        return x + (first - first)  # zero, but where a number is not finite, and so unknown to a compiler

    def barred(x: Array, cotangent: Array) -> Array:
        return jax.lax.optimization_barrier((x, cotangent))[0]

    return jax.lax.platform_dependent(x, cotangent, cpu=summed, default=barred)


def computed_once(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """What a ReLU made, kept as an array on a CPU.

    XLA would rather add up a block's output again wherever it is used, from the blocks before it, which it then all
    keeps: 2.3 GiB for a ResNet-101 at 1024x2048. It does not look into branches, and removes barriers before that.
    """

    def kept(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return jax.lax.cond(x[0, 0, 0, 0] >= 0, lambda x: x, jax.nn.relu, x)  # the same, either way

    return jax.lax.platform_dependent(x, cpu=kept, default=lambda x: x)


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b p q c"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    padding = [(0, 0), (1, 1), (1, 1), (0, 0)]
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)


def average_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b p q c"]:
    """2x2 mean, stride 2, over the pixels that exist: an odd last row or column is kept."""
    odd = [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)]
    pixels = jnp.ones((1, x.shape[1], x.shape[2], 1), x.dtype)
    windows = (1, 2, 2, 1)
    total = jax.lax.reduce_window(x, 0.0, jax.lax.add, windows, windows, odd)
    return total / jax.lax.reduce_window(pixels, 0.0, jax.lax.add, windows, windows, odd)


def widen(x: Array) -> Array:
    """At least float32."""
    return x.astype(widened(x.dtype.name))


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


def resize(x: Float[Array, "b h w c"], height: int, width: int, grid: str) -> Float[Array, "b o p c"]:
    """Bilinear resizing on the given grid, in at least float32."""
    x = widen(x)
    rows = interpolation_matrix(x.shape[1], height, grid, like=x)
    columns = interpolation_matrix(x.shape[2], width, grid, like=x)
    return jnp.einsum("pw,bowc->bopc", columns, jnp.einsum("oh,bhwc->bowc", rows, x))
