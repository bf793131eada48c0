"""Means and gathers over the devices of a training run, each of which holds its own part of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def is_distributed() -> bool:
    """True where each device holds its own part of a batch."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


class MeanOverProcesses(torch.autograd.Function):
    """An all-reduce that gradients flow through; torch's own are private or deprecated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return MeanOverProcesses.apply(gradient)


def all_reduce_mean(x: Tensor) -> Tensor:
    """Return the mean of all devices' tensors of one shape; gradients are those of the sum of the devices' losses."""
    return MeanOverProcesses.apply(x) if is_distributed() else x


def all_gather(x: Tensor) -> Tensor:
    """Return all devices' tensors of one shape, joined along the first axis; without gradients."""
    if not is_distributed():
        return x
    every = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
    distributed.all_gather(every, x.contiguous())
    return torch.cat(every)
