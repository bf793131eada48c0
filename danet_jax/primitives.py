"""Convolution and batch normalisation, the layers that hold most tensors, by torch's conventions in every framework:
symmetric zero padding, and running statistics of the unbiased variance. Products of float32 are rounded as the
framework is set, on GPUs and TPUs perhaps to TF32 or bfloat16: see docs/devices.md."""

from __future__ import annotations

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common.config.layer_set import LayerSet
from danet_common.config.tensors import NORM_KINDS
from danet_common.numerics.precision import accumulate_dtype
from danet_jax.module import ModeModule, Module


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
        out = jax.lax.conv_general_dilated(x, kernel, strides, padding, None, dilations, ("NHWC", "HWIO", "NHWC"))
        return out if self.bias is None else out + self.bias[...].astype(x.dtype)


class BatchNorm(ModeModule):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * scale + bias

    Normalises by the biased variance of the batch and keeps the unbiased one, in `dtype`, at least float32. The batch
    is that of all devices, each with an equal part. Raises ValueError in training where a channel has a single value.
    """

    tensor_kinds = NORM_KINDS

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
        factor = jax.lax.rsqrt(variance + self.epsilon) * self.scale[...]
        return ((wide - mean) * factor + self.bias[...]).astype(x.dtype)

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


PLAIN = LayerSet(Conv, BatchNorm)  # the default of a module built alone: layers as written here, in float32


def upcast(x: Array) -> Array:
    """Cast to float32, unless `x` is float64."""
    return x.astype(accumulate_dtype(x.dtype.name))
