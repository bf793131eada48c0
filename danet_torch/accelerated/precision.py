"""Dtypes and memory layout of a pass: what goes into a network, and torch.autocast within it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from danet_common.config.former_arguments import raise_if_renamed
from danet_torch.accelerated.transforms import is_transformed

T = TypeVar("T")


def cast_input(forward: Callable[..., T]) -> Callable[..., T]:
    """Decorate the forward pass of a network: its pixels come in the network's dtype, channels last in memory.

    That is the compute dtype; the kernels' own where a caller has cast the network (`.double()`); autocast's where
    autocast is on and the network computes in float32. Within the pass autocast is off.
    """

    @functools.wraps(forward)
    def call(network: Any, x: Tensor, *arguments: Any, **named: Any) -> T:
        raise_if_renamed(named)
        x = x.to(input_dtype(network, x.device.type))
        if not is_transformed(x):  # `torch.vmap` knows no memory formats
            x = x.contiguous(memory_format=torch.channels_last)
        with autocast_disabled(x.device.type):
            return forward(network, x, *arguments, **named)

    return call


def input_dtype(network: Any, device: str) -> torch.dtype:
    """Return the dtype in which a network computes."""
    stem, precision = network.backbone.conv1, network.layer_set.precision
    kernels = getattr(stem, "conv1", stem).weight.dtype  # of a deep stem, or of one convolution
    if kernels != getattr(torch, precision.param_dtype):
        dtype: torch.dtype = kernels
    else:
        dtype = getattr(torch, precision.compute_dtype)
    return torch.get_autocast_dtype(device) if dtype == torch.float32 and has_autocast(device) else dtype


def in_own_dtype(forward: Callable[..., T]) -> Callable[..., T]:
    """Decorate the forward pass of a module: autocast would compute products of float32 energies in 16 bits."""

    @functools.wraps(forward)
    def call(module: Any, x: Tensor, *arguments: Any, **named: Any) -> T:
        if not has_autocast(x.device.type):
            return forward(module, x, *arguments, **named)
        with torch.autocast(x.device.type, enabled=False):
            return forward(module, x, *arguments, **named)

    return call


def autocast_disabled(device: str) -> contextlib.AbstractContextManager[Any]:
    """Return a context without autocast."""
    return torch.autocast(device, enabled=False) if has_autocast(device) else contextlib.nullcontext()


def has_autocast(device: str) -> bool:
    """Return True where torch.autocast is on, of which some devices know nothing."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
