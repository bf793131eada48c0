"""Tensors of a convolution and of a BatchNorm, by canonical name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kernel", "bias", "scale", "shift", "mean", "variance", "count", "gamma", "gain"]

CONV_KINDS: tuple[Kind, ...] = ("kernel", "bias")  # of a convolution
NORM_KINDS: tuple[Kind, ...] = ("scale", "shift", "mean", "variance", "count")  # of a BatchNorm


@dataclass(frozen=True)
class Parameter:
    """A tensor; its kinds `scale`, `shift`, `mean`, `variance` and `count` are a BatchNorm's.

    `gamma` and `gain` are single factors: training starts with a gamma of 0 and a gain of 1.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind

    @property
    def trainable(self) -> bool:
        """True if an optimizer updates the tensor; the others are running statistics."""
        return self.kind not in ("mean", "variance", "count")

    @property
    def is_norm(self) -> bool:
        """True for a tensor of a BatchNorm, which stays in float32 in a low-precision network."""
        return self.kind in NORM_KINDS

    @property
    def is_factor(self) -> bool:
        """True for a single factor, which stays in float32 in a low-precision network."""
        return self.kind in ("gamma", "gain")


def conv_norm(name: str, in_channels: int, out_channels: int, size: int) -> Iterator[Parameter]:
    """Yield the tensors of a convolution and its BatchNorm."""
    yield from conv(f"{name}.conv", in_channels, out_channels, size)
    yield from norm(f"{name}.bn", out_channels)


def conv(name: str, in_channels: int, out_channels: int, size: int, bias: bool = False) -> Iterator[Parameter]:
    """Yield the tensors of a square convolution."""
    yield Parameter(f"{name}.weight", (out_channels, in_channels, size, size), "kernel")
    if bias:
        yield Parameter(f"{name}.bias", (out_channels,), "bias")


def norm(name: str, channels: int) -> Iterator[Parameter]:
    """Yield the tensors of a BatchNorm."""
    yield Parameter(f"{name}.weight", (channels,), "scale")
    yield Parameter(f"{name}.bias", (channels,), "shift")
    yield Parameter(f"{name}.running_mean", (channels,), "mean")
    yield Parameter(f"{name}.running_var", (channels,), "variance")
    yield Parameter(f"{name}.num_batches_tracked", (), "count")
