"""The layers that the network is made of: convolution, batch normalisation, dropout, pooling, resizing.
They fix what frameworks leave open: symmetric zero padding, torch's BatchNorm, exact interpolation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from danet_common.config.parameters import NORM_KINDS
from danet_common.numerics.precision import FLOAT32, Precision, accumulate_dtype
from danet_torch.module import Module
from danet_torch.training.distributed import all_mean, several

Definition = Callable[..., Tensor]  # such as attention.softmax_attention: (query, key, value, record) -> output
ModuleClass = TypeVar("ModuleClass", bound=type[nn.Module])


class Conv(Module, nn.Conv2d):
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
        padding, of = dilation * (kernel_size // 2), getattr(torch, dtype)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias, dtype=of)

    def reset_parameters(self) -> None:
        """Draw the kernel and the bias anew, as `Module` does, or leave zeros for their network to fill."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        super().reset_parameters()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, self.weight.to(x.dtype), bias, self.stride, self.padding, self.dilation)


class BatchNorm(Module, nn.BatchNorm2d):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * weight + bias

    Normalises by the biased variance of the batch, of all devices together, and keeps the unbiased one; in `dtype`, at
    least float32. Raises ValueError in training where a channel has a single value.
    """

    kinds = NORM_KINDS
    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, *, epsilon: float = 1e-5, momentum: float = 0.1, dtype: str = "float32") -> None:
        super().__init__(channels, epsilon, momentum, dtype=getattr(torch, dtype))

    def reset_parameters(self) -> None:
        """Set the statistics and the affine transform to their first values, as `Module` does."""
        nn.BatchNorm2d.reset_parameters(self)
        super().reset_parameters()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if not (self.training and several()):
            return super().forward(x)
        wide = upcast(x)
        mean, variance = self.update(wide)
        inverse = torch.rsqrt(variance + self.eps) * self.weight[:, None, None]
        return ((wide - mean) * inverse + self.bias[:, None, None]).to(x.dtype)

    def update(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "c 1 1"], Float[Tensor, "c 1 1"]]:
        """Mean and biased variance of the batch, after moving the running statistics towards them."""
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        mean = all_mean(torch.mean(x, (0, 2, 3), keepdim=True))[0]
        variance = all_mean(torch.mean(torch.square(x - mean), (0, 2, 3), keepdim=True))[0]  # two passes, as always
        unbiased = variance * (count / (count - 1))
        self.running_mean += self.momentum * (mean.detach().flatten() - self.running_mean)
        self.running_var += self.momentum * (unbiased.detach().flatten() - self.running_var)
        self.num_batches_tracked += 1
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
    conv: Callable[..., nn.Module] = Conv
    norm: Callable[[int], nn.Module] = BatchNorm
    block: Callable[[ModuleClass], ModuleClass] = as_written
    remat: Callable[[ModuleClass], ModuleClass] = as_written
    attention: Callable[[Definition], Definition] = as_written
    trainable: bool = True


PLAIN = LayerSet()  # the text as it stands, in float32


class ConvNormAct(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.conv = layers.conv(in_channels, out_channels, kernel_size)
        self.bn = layers.norm(out_channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return F.relu_(self.bn(self.conv(x)))


class Dropout(nn.Module):
    """Dropout of whole channels (`channel`, Tompson et al., 2015) or of single values (`element`).

    out = x / (1 - rate) where kept, else 0

    Handed `kept`, (N, C) or like `x`, it does that in every mode; else it draws in training, as its framework does.
    """

    def __init__(self, rate: float, kind: str) -> None:
        super().__init__()
        self.rate = rate
        self.kind = kind

    def forward(
        self, x: Float[Tensor, "b c h w"], kept: Bool[Tensor, "b c *hw"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        if kept is not None:
            return torch.where(kept[:, :, None, None] if kept.ndim == 2 else kept, x / (1 - self.rate), 0)
        dropout = F.dropout2d if self.kind == "channel" else F.dropout
        return dropout(x, self.rate, self.training)


def max_pool(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    return F.max_pool2d(x, 3, 2, 1)


def average_pool(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """2x2 mean, stride 2, over the pixels that exist: an odd last row or column is kept."""
    return F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)


def upcast(x: Tensor) -> Tensor:
    """Cast to float32, unless `x` is float64."""
    return x.to(getattr(torch, accumulate_dtype(str(x.dtype).removeprefix("torch."))))


def interpolation_matrix(source: int, target: int, grid: str, like: Tensor) -> Float[Tensor, "target source"]:
    """Linear interpolation from `source` to `target` samples as a matrix.

    Sample i lies at numerator / denominator; the weight of sample j is max(0, 1 - distance to j).
    All in integers up to the last division, so that every weight is rounded once, in any dtype.
    """
    i = torch.arange(target, device=like.device)
    if grid == "corners":  # first and last samples meet
        numerator, denominator = i * (source - 1), max(target - 1, 1)
    elif grid == "half_pixel":  # the edges of the first and last pixels meet
        numerator, denominator = (2 * i + 1) * source - target, 2 * target
    else:  # asymmetric: the first samples meet (Paddle's align_mode=1)
        numerator, denominator = i * source, target
    numerator = torch.clamp(numerator, 0, (source - 1) * denominator)
    distance = torch.abs(numerator[:, None] - denominator * torch.arange(source, device=like.device))
    return torch.clamp(denominator - distance, min=0).to(like.dtype) / denominator


def resize(x: Float[Tensor, "b c h w"], size: Sequence[int], grid: str) -> Float[Tensor, "b c o p"]:
    """Bilinear resizing to (height, width) on the given grid, in at least float32."""
    x = upcast(x)
    rows = interpolation_matrix(x.shape[2], size[0], grid, like=x)
    columns = interpolation_matrix(x.shape[3], size[1], grid, like=x)
    return rows @ x @ columns.T
