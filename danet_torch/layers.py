"""The layers that the network is made of: convolution, batch normalisation, dropout, pooling, resizing.
They fix what frameworks leave open: symmetric zero padding, torch's BatchNorm, exact interpolation."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from danet_common import memory
from danet_common.numerics import Numerics, widened
from danet_common.parameters import NORM_KINDS
from danet_common.winograd import covers, suits
from danet_torch.accelerated.winograd import convolve, empty, lends
from danet_torch.module import Module
from danet_torch.training.distributed import all_mean, several

P = ParamSpec("P")
T = TypeVar("T")


class Conv(Module, nn.Conv2d):
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
        padding = dilation * (kernel_size // 2)
        dtype = getattr(torch, numerics.kernels)
        bias = bias or numerics.folded
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias, dtype=dtype)
        self.folded = numerics.folded
        self.winograd = numerics.winograd and suits(kernel_size, stride, min(in_channels, out_channels))

    def reset_parameters(self) -> None:
        """Draw the kernel and the bias anew, as `Module` does, or leave zeros for their network to fill."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        super().reset_parameters()

    def forward(
        self, x: Float[Tensor, "b c h w"], plus: Float[Tensor, "b d p q"] | None = None, relu: bool = False
    ) -> Float[Tensor, "b d p q"]:
        """The convolution, and in a folded network what follows it: `plus` is added, and `relu` taken."""
        entries = x.numel() // (self.in_channels * self.stride[0] ** 2) * self.out_channels
        weight, bias = self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        if self.winograd and covers(x.shape[2], x.shape[3], self.dilation[0]) and not plain():
            if bias is not None and plus is None and lends(memory.LARGE):  # no gradients are recorded

                def finish(band: Tensor) -> Tensor:
                    return F.relu_(band.add_(bias)) if relu else band.add_(bias)

                return convolve(x, weight, self.dilation[0], finish)
            out = convolve(x, weight, self.dilation[0])
            if bias is not None:  # in the place of what has no gradients alone
                out = out + bias[:, None, None] if torch.is_grad_enabled() else out.add_(bias[:, None, None])
        elif self.kernel_size == (1, 1) and lends(entries * x.element_size()):
            return in_bands(x[:, :, :: self.stride[0], :: self.stride[1]], weight, bias, plus, relu)
        else:
            out = F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation)
        out = out if plus is None else out.add_(plus)
        return F.relu_(out) if relu else out


def in_bands(
    x: Float[Tensor, "b c h w"],
    weight: Float[Tensor, "d c 1 1"],
    bias: Float[Tensor, " d"] | None,
    plus: Float[Tensor, "b d h w"] | None,
    relu: bool,
) -> Float[Tensor, "b d h w"]:
    """A 1x1 convolution and what follows it, of some rows at a time, which are in the cache then."""
    batch, channels, height, width = x.shape
    rows = max(1, memory.BAND_SIZE // (batch * width * max(channels, weight.shape[0])))
    out = empty(x, batch, height, width, weight.shape[0]).permute(0, 3, 1, 2)
    least = 0.0 if relu else -torch.inf
    for first in range(0, height, rows):
        band = F.conv2d(x[:, :, first : first + rows], weight, bias)
        band = band if plus is None else band.add_(plus[:, :, first : first + rows])
        torch.clamp(band, min=least, out=out[:, :, first : first + rows])
    return out


class BatchNorm(Module, nn.BatchNorm2d):
    """Batch normalisation over N, H and W (Ioffe and Szegedy, 2015) with torch's conventions.

    out = (x - mean) / sqrt(variance + epsilon) * weight + bias

    Normalises by the biased variance of the batch, of all devices together, and keeps the unbiased one; at least
    float32. Raises ValueError in training where a channel has a single value. In a folded network it does nothing.
    """

    kinds = NORM_KINDS
    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, numerics: Numerics) -> None:
        held, dtype = not numerics.folded, getattr(torch, numerics.wide)
        super().__init__(channels, numerics.epsilon, numerics.momentum, held, held, dtype=dtype)
        self.folded = numerics.folded

    def reset_parameters(self) -> None:
        """Set the statistics and the affine transform to their first values, as `Module` does."""
        nn.BatchNorm2d.reset_parameters(self)
        super().reset_parameters()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        if self.folded:
            return x
        if not (self.training and several()):
            return super().forward(x)
        wide = widen(x)
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


class ConvNormAct(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, numerics: Numerics) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, kernel_size, numerics)
        self.bn = BatchNorm(out_channels, numerics)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return norm_act(self.conv, self.bn, x)


def norm_act(
    conv: Conv, bn: BatchNorm, x: Float[Tensor, "b c h w"], plus: Float[Tensor, "b d p q"] | None = None
) -> Float[Tensor, "b d p q"]:
    """Convolution, BatchNorm, ReLU; `plus`, a block's shortcut, is added before the ReLU."""
    if conv.folded:
        return conv(x, plus=plus, relu=True)
    out = bn(conv(x))
    return F.relu_(out if plus is None else out.add_(plus))


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


def recomputed(module: nn.Module, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
    """What a module makes of `x`; the gradient computes all that leads to it again, so that only `x` is kept.

    The running statistics move once.
    """
    passes = itertools.count()

    def call(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d p q"]:
        if next(passes) == 0:
            return module(x)
        copies = {name: buffer.clone() for name, buffer in module.named_buffers()}  # these may move again
        return torch.func.functional_call(module, copies, (x,))

    return checkpoint(call, x, use_reentrant=False)


def max_pool(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """3x3 maximum, stride 2, padded by one with -inf."""
    return F.max_pool2d(x, 3, 2, 1)


def average_pool(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """2x2 mean, stride 2, over the pixels that exist: an odd last row or column is kept."""
    return F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)


def plain() -> bool:
    """Whether to do without gradients of ours, which write into places: for `torch.export`, whose programs can have
    none, and within the transforms of `torch.func`, which want more of them."""
    if torch.compiler.is_compiling():
        return not torch.compiler.is_dynamo_compiling()
    return torch._C._are_functorch_transforms_active()


def autocasts(device: str) -> bool:
    """Whether torch.autocast is on, of which some devices know nothing."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def as_typed(function: Callable[P, T]) -> Callable[P, T]:
    """The function, in the dtypes of its tensors: torch.autocast would have the products of wide ones in 16 bits."""

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        (device, *_) = (some.device.type for some in (*arguments, *named.values()) if isinstance(some, Tensor))
        if not autocasts(device):
            return function(*arguments, **named)
        with torch.autocast(device, enabled=False):
            return function(*arguments, **named)

    return call


def widen(x: Tensor) -> Tensor:
    """At least float32."""
    return x.to(getattr(torch, widened(str(x.dtype).removeprefix("torch."))))


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


@as_typed
def resize(x: Float[Tensor, "b c h w"], height: int, width: int, grid: str) -> Float[Tensor, "b c o p"]:
    """Bilinear resizing on the given grid, in at least float32."""
    x = widen(x)
    rows = interpolation_matrix(x.shape[2], height, grid, like=x)
    columns = interpolation_matrix(x.shape[3], width, grid, like=x)
    return torch.einsum("pw,bcow->bcop", columns, torch.einsum("oh,bchw->bcow", rows, x))
