"""The layers that the network is made of: convolution, batch normalisation, dropout, pooling, resizing.
They fix what frameworks leave open: symmetric zero padding, torch's BatchNorm, exact interpolation."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import keras
import tensorflow as tf
from jaxtyping import Bool, Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.numerics import Numerics, widened
from danet_common.parameters import NORM_KINDS
from danet_common.winograd import covers, suits
from danet_tf.accelerated.winograd import convolve
from danet_tf.module import Module
from danet_tf.training.distributed import all_mean


@keras.saving.register_keras_serializable("danet")
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
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size}
        super().__init__(numerics, **sizes, stride=stride, dilation=dilation, bias=bias)
        self.shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.padding = dilation * (kernel_size // 2)
        self.stride = stride
        self.dilation = dilation
        self.folded = numerics.folded
        self.bias = None
        self.winograd = numerics.winograd and suits(kernel_size, stride, min(in_channels, out_channels))
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.kernel = self.add_weight(shape=self.shape, initializer="zeros", name="kernel")
        if self.arguments["bias"] or self.numerics.folded:
            self.bias = self.add_weight(shape=self.shape[3:], initializer="zeros", name="bias")
        self.built = True
        self.reset_parameters()

    def call(
        self, x: Float[Tensor, "b h w c"], plus: Float[Tensor, "b p q d"] | None = None, relu: bool = False
    ) -> Float[Tensor, "b p q d"]:
        """The convolution, and in a folded network what follows it: `plus` is added, and `relu` taken."""
        kernel, (_, height, width, _) = ops.cast(self.kernel, x.dtype), x.shape
        if self.winograd and height and width and covers(height, width, self.dilation):  # of known size
            out = convolve(x, kernel, self.dilation)
        elif self.stride == 1:  # "same" is symmetric here, and not at stride 2
            out = ops.conv(x, kernel, 1, "same", dilation_rate=self.dilation)
        else:
            padded = ops.pad(x, ((0, 0), *[(self.padding, self.padding)] * 2, (0, 0)))
            if self.dilation == 1:
                out = ops.conv(padded, kernel, self.stride, "valid")
            else:  # TensorFlow has not both at once
                out = ops.conv(padded, kernel, 1, "valid", dilation_rate=self.dilation)[
                    :, :: self.stride, :: self.stride
                ]
        out = out if self.bias is None else out + ops.cast(self.bias, x.dtype)
        out = out if plus is None else out + plus
        return ops.relu(out) if relu else out


@keras.saving.register_keras_serializable("danet")
class BatchNorm(Module):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * gamma + beta

    Normalises by the biased variance of the batch, of all devices together, and keeps the unbiased one; at least
    float32. Raises ValueError in training where a channel has a single value. In a folded network it does nothing.
    """

    kinds = NORM_KINDS

    def __init__(self, channels: int, numerics: Numerics) -> None:
        super().__init__(numerics, channels=channels)
        self.epsilon = numerics.epsilon
        self.momentum = numerics.momentum  # torch's sense: the weight of the new batch
        self.folded = numerics.folded
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.built = True
        if self.folded:
            return
        shape, wide = (self.arguments["channels"],), self.numerics.wide
        self.gamma = self.add_weight(shape=shape, initializer="ones", dtype=wide, name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", dtype=wide, name="beta")
        self.moving_mean = self.add_weight(
            shape=shape, initializer="zeros", dtype=wide, trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            shape=shape, initializer="ones", dtype=wide, trainable=False, name="moving_variance"
        )
        self.num_batches_tracked = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="num_batches_tracked"
        )
        self.reset_parameters()

    def call(self, x: Float[Tensor, "b h w c"], training: bool = False) -> Float[Tensor, "b h w c"]:
        if self.folded:
            return x
        wide = widen(x)
        if not (training and self.trainable):  # a frozen layer keeps its statistics, as Keras's own does
            mean, variance = ops.convert_to_tensor(self.moving_mean), ops.convert_to_tensor(self.moving_variance)
        else:
            mean, variance = self.update(wide)
        inverse = ops.rsqrt(variance + self.epsilon) * self.gamma
        return ops.cast((wide - mean) * inverse + self.beta, x.dtype)

    def update(self, x: Float[Tensor, "b h w c"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Mean and biased variance of the batch, after moving the running statistics towards them."""
        batch, height, width, _ = ops.shape(x)
        count = batch * height * width * tf.distribute.get_strategy().num_replicas_in_sync
        if isinstance(count, int) and count == 1:
            raise ValueError(f"training needs more than one value per channel; got shape {x.shape}")
        mean = all_mean(mean_of(x, (0, 1, 2)))
        variance = all_mean(mean_of(ops.square(x - mean), (0, 1, 2)))  # two passes: E[x^2] - E[x]^2 cancels
        unbiased = variance * (ops.cast(count, x.dtype) / ops.cast(count - 1, x.dtype))
        self.moving_mean.assign_add(self.momentum * (ops.stop_gradient(mean) - self.moving_mean))
        self.moving_variance.assign_add(self.momentum * (ops.stop_gradient(unbiased) - self.moving_variance))
        self.num_batches_tracked.assign_add(1)
        return mean, variance


@keras.saving.register_keras_serializable("danet")
class ConvNormAct(Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, numerics: Numerics) -> None:
        super().__init__(numerics, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        self.conv = Conv(in_channels, out_channels, kernel_size, numerics)
        self.bn = BatchNorm(out_channels, numerics)

    def call(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w d"]:
        return norm_act(self.conv, self.bn, x)


def norm_act(
    conv: Conv, bn: BatchNorm, x: Float[Tensor, "b h w c"], plus: Float[Tensor, "b p q d"] | None = None
) -> Float[Tensor, "b p q d"]:
    """Convolution, BatchNorm, ReLU; `plus`, a block's shortcut, is added before the ReLU."""
    if conv.folded:
        return conv(x, plus=plus, relu=True)
    out = bn(conv(x))
    return ops.relu(out if plus is None else out + plus)


@keras.saving.register_keras_serializable("danet")
class Dropout(keras.layers.Layer):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where kept, else 0

    Handed `kept`, (N, C) or like `x`, it does that in every mode; else it draws in training, as its framework does.
    """

    def __init__(self, rate: float, kind: str) -> None:
        super().__init__(autocast=False)
        self.rate = rate
        self.kind = kind
        self.seed_generator = keras.random.SeedGenerator(0) if rate > 0 else None

    def call(
        self, x: Float[Tensor, "b h w c"], kept: Bool[Tensor, "b *hw c"] | None = None, training: bool = False
    ) -> Float[Tensor, "b h w c"]:
        if kept is not None:
            return ops.where(kept[:, None, None, :] if len(kept.shape) == 2 else kept, x / (1 - self.rate), 0)
        if not training or self.seed_generator is None:
            return x
        batch, _, _, channels = ops.shape(x)
        shape = (batch, 1, 1, channels) if self.kind == "channel" else ops.shape(x)
        return keras.random.dropout(x, self.rate, shape, self.seed_generator)

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "kind": self.kind}


def recomputed(module: Module, x: Float[Tensor, "b h w c"], training: bool) -> Float[Tensor, "b p q d"]:
    """What a module makes of `x`; the gradient computes all that leads to it again, so that only `x` is kept.

    The running statistics move once.
    """
    if keras.backend.backend() == "jax":
        return recomputed_by_jax(module, x, training)
    passes = itertools.count()

    def call(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q d"]:
        with contextlib.nullcontext() if next(passes) == 0 else keras.StatelessScope():  # which keeps what moves
            return module(x, training=training)  # the gradient asks outside of the network's call

    return keras.remat(call)(x)


def recomputed_by_jax(module: Module, x: Float[Tensor, "b h w c"], training: bool) -> Float[Tensor, "b p q d"]:
    """The same, where what is computed again may assign to no variable: running statistics come out as values."""
    held, moving = [(variable, variable.value) for variable in module.variables], module.non_trainable_variables

    def call(x: Float[Tensor, "b h w c"]) -> tuple[Float[Tensor, "b p q d"], list[Tensor]]:
        with keras.StatelessScope(held) as scope:
            out = module(x, training=training)
        return out, [scope.get_current_value(variable) for variable in moving]

    out, values = keras.remat(call)(x)
    for variable, value in zip(moving, values, strict=True):
        variable.assign(value)
    return out


def max_pool(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q c"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    padded = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=float("-inf"))
    return ops.max_pool(padded, 3, 2, "valid")


def average_pool(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q c"]:
    """2x2 mean, stride 2, over the pixels that exist: an odd last row or column is kept."""
    return ops.average_pool(x, 2, 2, "same")


def widen(x: Tensor) -> Tensor:
    """At least float32."""
    return ops.cast(x, widened(keras.backend.standardize_dtype(x.dtype)))


def mean_of(x: Tensor, axes: tuple[int, ...], keepdims: bool = False) -> Tensor:
    """The mean over some axes in the dtype of `x`; Keras's own rounds float64 to float32 on JAX and PyTorch."""
    shape, count = ops.shape(x), 1
    for axis in axes:
        count *= shape[axis]
    return ops.sum(x, axes, keepdims=keepdims) / ops.cast(count, x.dtype)


def interpolation_matrix(source: int, target: int, grid: str, like: Tensor) -> Float[Tensor, "target source"]:
    """Linear interpolation from `source` to `target` samples as a matrix.

    Sample i lies at numerator / denominator; the weight of sample j is max(0, 1 - distance to j).
    All in integers up to the last division, so that every weight is rounded once, in any dtype.
    """
    i = ops.arange(target, dtype="int32")
    if grid == "corners":  # first and last samples meet
        numerator, denominator = i * (source - 1), ops.maximum(target - 1, 1)
    elif grid == "half_pixel":  # the edges of the first and last pixels meet
        numerator, denominator = (2 * i + 1) * source - target, 2 * target
    else:  # asymmetric: the first samples meet (Paddle's align_mode=1)
        numerator, denominator = i * source, target
    numerator = ops.clip(numerator, 0, (source - 1) * denominator)
    distance = ops.abs(numerator[:, None] - denominator * ops.arange(source, dtype="int32"))
    return ops.cast(ops.maximum(denominator - distance, 0), like.dtype) / ops.cast(denominator, like.dtype)


def resize(x: Float[Tensor, "b h w c"], height: int, width: int, grid: str) -> Float[Tensor, "b o p c"]:
    """Bilinear resizing on the given grid, in at least float32."""
    x = widen(x)
    rows = interpolation_matrix(ops.shape(x)[1], height, grid, like=x)
    columns = interpolation_matrix(ops.shape(x)[2], width, grid, like=x)
    return ops.einsum("pw,bowc->bopc", columns, ops.einsum("oh,bhwc->bowc", rows, x))
