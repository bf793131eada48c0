"""Convolution and batch normalisation, the layers that hold most tensors, by torch's conventions in every framework:
symmetric zero padding, and running statistics of the unbiased variance. Products of float32 are rounded as the
framework is set, on GPUs and TPUs perhaps to TF32 or bfloat16: see docs/devices.md."""

from __future__ import annotations

import keras
import tensorflow as tf
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.layer_set import LayerSet
from danet_common.config.tensors import NORM_KINDS
from danet_common.numerics.precision import accumulate_dtype
from danet_tf.accelerated.collectives import all_reduce_mean
from danet_tf.accelerated.precision import mean_of
from danet_tf.module import Module


@keras.saving.register_keras_serializable("danet")
class Conv(Module):
    """Square convolution, zero-padded by dilation * (kernel_size // 2) on every side, in the dtype of its input."""

    tensor_kinds = ("kernel", "bias")

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
        super().__init__()  # Module takes `dtype` for the weights
        self.stride = stride
        self.padding = dilation * (kernel_size // 2)
        self.dilation = dilation
        self.kernel = self.add_weight((kernel_size, kernel_size, in_channels, out_channels), "zeros", name="kernel")
        self.bias = self.add_weight((out_channels,), "zeros", name="bias") if bias else None
        self.reset_parameters()

    def call(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q d"]:
        kernel, stride, around = ops.cast(self.kernel, x.dtype), self.stride, (self.padding, self.padding)
        if stride == 1 or self.dilation > 1:  # of which TensorFlow has not both at once
            out = ops.conv(x, kernel, 1, "same", "channels_last", self.dilation)
            out = out if stride == 1 else out[:, ::stride, ::stride]
        else:  # where "same" is not symmetric
            out = ops.conv(ops.pad(x, ((0, 0), around, around, (0, 0))), kernel, stride, "valid", "channels_last")
        return out if self.bias is None else out + ops.cast(self.bias, x.dtype)


@keras.saving.register_keras_serializable("danet")
class BatchNorm(Module):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * gamma + beta

    Normalises by the biased variance of the batch and keeps the unbiased one, in `dtype`, at least float32. The batch
    is that of all devices, each with an equal part. Raises ValueError in training where a channel has a single value.
    """

    tensor_kinds = NORM_KINDS

    def __init__(self, channels: int, *, epsilon: float = 1e-5, momentum: float = 0.1, dtype: str = "float32") -> None:
        super().__init__()  # Module takes `dtype` for the weights
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
        factor = ops.rsqrt(variance + self.epsilon) * self.gamma
        return ops.cast((wide - mean) * factor + self.beta, x.dtype)

    def update(self, x: Float[Tensor, "b h w c"]) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
        """Mean and biased variance of the batch, after moving the running statistics towards them."""
        batch, height, width, _ = ops.shape(x)
        count = batch * height * width * tf.distribute.get_strategy().num_replicas_in_sync
        if isinstance(count, int) and count == 1:
            raise ValueError(f"training needs more than one value per channel; got shape {x.shape}")
        mean = all_reduce_mean(mean_of(x, (0, 1, 2)))
        variance = all_reduce_mean(mean_of(ops.square(x - mean), (0, 1, 2)))  # two passes: E[x^2] - E[x]^2 cancels
        unbiased = variance * (ops.cast(count, x.dtype) / ops.cast(count - 1, x.dtype))
        self.moving_mean.assign_add(self.momentum * (ops.stop_gradient(mean) - self.moving_mean))
        self.moving_variance.assign_add(self.momentum * (ops.stop_gradient(unbiased) - self.moving_variance))
        self.num_batches_tracked.assign_add(1)
        return mean, variance


PLAIN = LayerSet(Conv, BatchNorm)  # the default of a module built alone: layers as written here, in float32


def upcast(x: Tensor) -> Tensor:
    """Cast to float32, unless `x` is float64."""
    return ops.cast(x, accumulate_dtype(keras.backend.standardize_dtype(x.dtype)))
