"""Convolution and batch normalisation, the layers that hold most tensors, by torch's conventions in every framework:
symmetric zero padding, and running statistics of the unbiased variance. Products of float32 are rounded as the
framework is set, on GPUs and TPUs perhaps to TF32 or bfloat16: see docs/devices.md."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from danet_common.config.layer_set import LayerSet
from danet_common.config.tensors import NORM_KINDS
from danet_common.numerics.precision import accumulate_dtype
from danet_torch.accelerated.collectives import all_reduce_mean, is_distributed
from danet_torch.module import Module


class Conv(Module, nn.Conv2d):
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
        padding, numbers = dilation * (kernel_size // 2), getattr(torch, dtype)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias, dtype=numbers)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, self.weight.to(x.dtype), bias, self.stride, self.padding, self.dilation)


class BatchNorm(Module, nn.BatchNorm2d):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * weight + bias

    Normalises by the biased variance of the batch and keeps the unbiased one, in `dtype`, at least float32. The batch
    is that of all devices, each with an equal part. Raises ValueError in training where a channel has a single value.
    """

    tensor_kinds = NORM_KINDS
    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, *, epsilon: float = 1e-5, momentum: float = 0.1, dtype: str = "float32") -> None:
        super().__init__(channels, epsilon, momentum, dtype=getattr(torch, dtype))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not (self.training and is_distributed()):  # nn.SyncBatchNorm has no CPU kernel
            return super().forward(x)
        wide = upcast(x)
        mean, variance = self.update(wide)
        factor = torch.rsqrt(variance + self.eps) * self.weight[:, None, None]
        return ((wide - mean) * factor + self.bias[:, None, None]).to(x.dtype)

    def update(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "c 1 1"], Float[Tensor, "c 1 1"]]:
        """Mean and biased variance of the batch, after moving the running statistics towards them."""
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        mean = all_reduce_mean(torch.mean(x, (0, 2, 3), keepdim=True))[0]
        variance = all_reduce_mean(torch.mean(torch.square(x - mean), (0, 2, 3), keepdim=True))[0]
        unbiased = variance * (count / (count - 1))
        self.running_mean += self.momentum * (mean.detach().flatten() - self.running_mean)
        self.running_var += self.momentum * (unbiased.detach().flatten() - self.running_var)
        self.num_batches_tracked += 1
        return mean, variance


PLAIN = LayerSet(Conv, BatchNorm)  # the default of a module built alone: layers as written here, in float32


def upcast(x: Tensor) -> Tensor:
    """Cast to float32, unless `x` is float64."""
    return x.to(getattr(torch, accumulate_dtype(str(x.dtype).removeprefix("torch."))))
