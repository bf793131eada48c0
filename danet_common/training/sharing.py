"""Shares of a global batch: contiguous rows for each process, and microbatches for gradient accumulation.

Microbatch i of n holds the rows i, i + n, i + 2n and so on. So it has the same images on any number of devices.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from danet_common.config.recipe import TrainConfig

Trees = tuple[dict[str, Any], dict[str, Any]]  # losses and gradients by name

REMAT_PIXELS = 2**20  # of a device's microbatch; a ResNet-50 would keep 6 to 9 GiB of activations for them


def microbatches(rows: int, gradient_accumulation_steps: int) -> list[np.ndarray]:
    """Return the row indices of each microbatch. Raises ValueError unless all have the same size."""
    if rows % gradient_accumulation_steps:
        raise ValueError(f"{rows} rows are not {gradient_accumulation_steps} equal microbatches")
    return [np.arange(first, rows, gradient_accumulation_steps) for first in range(gradient_accumulation_steps)]


def add_trees(total: Trees, part: Trees) -> Trees:
    """Return the sums by name of two pairs of losses and gradients."""
    losses, gradients = ({name: a[name] + b[name] for name in a} for a, b in zip(total, part, strict=True))
    return losses, gradients


class Processes:
    """The processes that were started together, and their devices; by default this process and one device.

    process_index  of this process, from 0; the first one writes the files
    process_count  each has its part of the rows of a global batch
    device_count   of all processes together
    placement      of tensors: a torch.device, a tf.distribute.Strategy, a jax.sharding.Mesh; None: the default device

    Used as a context, it calls `close` at the end; not after an error, since the others may never come.
    """

    def __init__(
        self, process_index: int = 0, process_count: int = 1, device_count: int = 1, placement: Any = None
    ) -> None:
        self.process_index = process_index
        self.process_count = process_count
        self.device_count = device_count
        self.placement = self.default_placement() if placement is None else placement

    def default_placement(self) -> Any:
        """Return the placement of a process alone."""
        return None

    def close(self) -> None:
        """Leave the group of processes when all are done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        if kind is None:
            self.close()


def check_shares(recipe: TrainConfig, device_count: int) -> None:
    """Raise ValueError unless the microbatches of all devices have the same size."""
    steps = recipe.gradient_accumulation_steps
    if recipe.batch_size % (device_count * steps):
        each = "" if steps == 1 else f" times {steps} microbatches"
        raise ValueError(f"batch_size must be a multiple of {device_count} devices{each}; got {recipe.batch_size}")


def resolve_remat(recipe: TrainConfig, pixels: int | None, device_count: int) -> bool:
    """Return the recipe's `remat`; where it is None, True if a device's microbatch has many pixels.

    pixels  of a global batch; None: unknown, so False
    """
    if recipe.remat is not None:
        return recipe.remat
    return pixels is not None and pixels // (device_count * recipe.gradient_accumulation_steps) > REMAT_PIXELS


def describe(process_count: int, device_count: int, kind: str) -> str:
    """Return such words as "2 processes, 4 cuda devices"."""
    processes = "1 process" if process_count == 1 else f"{process_count} processes"
    return f"{processes}, {device_count} {kind} device{'s' if device_count > 1 else ''}"
