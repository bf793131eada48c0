"""The layers that the network is made of: convolution, batch normalisation, dropout, pooling, resizing.
They fix what frameworks leave open: symmetric zero padding, torch's BatchNorm, exact interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import tensorflow as tf
from jaxtyping import Bool, Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.config.parameters import NORM_KINDS
from danet_common.numerics.precision import FLOAT32, Precision, accumulate_dtype
from danet_tf.accelerated.precision import mean_of
from danet_tf.module import Module
from danet_tf.training.distributed import all_mean

Definition = Callable[..., Tensor]  # such as attention.softmax_attention: (query, key, value, record) -> output
ModuleClass = TypeVar("ModuleClass", bound=type[Module])


@keras.saving.register_keras_serializable("danet")
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
        self.kernel = self.add_weight((kernel_size, kernel_size, in_channels, out_channels), "zeros", name="kernel")
        self.bias = self.add_weight((out_channels,), "zeros", name="bias") if bias else None
        self.reset_parameters()

    def call(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q d"]:
        kernel, stride, around = ops.cast(self.kernel, x.dtype), self.stride, (self.padding, self.padding)
        if stride == 1 or self.dilation > 1:  # of which TensorFlow has not both at once
            out = ops.conv(x, kernel, 1, "same", dilation_rate=self.dilation)
            out = out if stride == 1 else out[:, ::stride, ::stride]
        else:  # where "same" is not symmetric
            out = ops.conv(ops.pad(x, ((0, 0), around, around, (0, 0))), kernel, stride, "valid")
        return out if self.bias is None else out + ops.cast(self.bias, x.dtype)


@keras.saving.register_keras_serializable("danet")
class BatchNorm(Module):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * gamma + beta

    Normalises by the biased variance of the batch, of all devices together, and keeps the unbiased one; in `dtype`, at
    least float32. Raises ValueError in training where a channel has a single value.
    """

    kinds = NORM_KINDS

    def __init__(self, channels: int, *, epsilon: float = 1e-5, momentum: float = 0.1, dtype: str = "float32") -> None:
        super().__init__()
        self.epsilon = epsilon
        self.momentum = momentum  # torch's sense: the weight of the new batch
        self.gamma = self.add_weight((channels,), "ones", name="gamma")
        self.beta = self.add_weight((channels,), "zeros", name="beta")
        self.moving_mean = self.add_weight((channels,), "zeros", trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight((channels,), "ones", trainable=False, name="moving_variance")
        self.num_batches_tracked = self.add_weight((), "zeros", "int32", trainable=False, name="num_batches_tracked")
        self.reset_parameters()

    def call(self, x: Float[Tensor, "b h w c"], training: bool = False) -> Float[Tensor, "b h w c"]:
        wide = upcast(x)
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
    conv: Callable[..., Module] = Conv
    norm: Callable[[int], Module] = BatchNorm
    block: Callable[[ModuleClass], ModuleClass] = as_written
    remat: Callable[[ModuleClass], ModuleClass] = as_written
    attention: Callable[[Definition], Definition] = as_written
    trainable: bool = True


PLAIN = LayerSet()  # the text as it stands, in float32


@keras.saving.register_keras_serializable("danet")
class ConvNormAct(Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.conv = layers.conv(in_channels, out_channels, kernel_size)
        self.bn = layers.norm(out_channels)

    def call(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w d"]:
        return ops.relu(self.bn(self.conv(x)))


@keras.saving.register_keras_serializable("danet")
class Dropout(Module):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where kept, else 0

    Handed `kept`, (N, C) or like `x`, it does that in every mode; else it draws in training, as its framework does.
    """

    def __init__(self, rate: float, kind: str) -> None:
        super().__init__()
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


def max_pool(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q c"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    padded = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=float("-inf"))
    return ops.max_pool(padded, 3, 2, "valid")


def average_pool(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q c"]:
    """2x2 mean, stride 2, over the pixels that exist: an odd last row or column is kept."""
    return ops.average_pool(x, 2, 2, "same")


def upcast(x: Tensor) -> Tensor:
    """Cast to float32, unless `x` is float64."""
    return ops.cast(x, accumulate_dtype(keras.backend.standardize_dtype(x.dtype)))


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


def resize(x: Float[Tensor, "b h w c"], size: Sequence[int], grid: str) -> Float[Tensor, "b o p c"]:
    """Bilinear resizing to (height, width) on the given grid, in at least float32."""
    x = upcast(x)
    rows = interpolation_matrix(ops.shape(x)[1], size[0], grid, like=x)
    columns = interpolation_matrix(ops.shape(x)[2], size[1], grid, like=x)
    return ops.einsum("pw,bowc->bopc", columns, ops.einsum("oh,bhwc->bowc", rows, x))
