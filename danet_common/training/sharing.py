"""Shares of a global batch: contiguous rows for each process, and microbatches for gradient accumulation.

Microbatch i of n holds the rows i, i + n, i + 2n, ..., so it has the same pictures on one device as on many.
"""

from __future__ import annotations

import numpy as np

from danet_common.config.recipe import TrainConfig

RECOMPUTED_PIXELS = 2**20  # that a device computes at once; a ResNet-50 would keep 6 to 9 GiB of activations for them


def microbatches(rows: int, gradient_accumulation_steps: int) -> list[np.ndarray]:
    """Return the row indices of each microbatch. Raises ValueError unless all have the same size."""
    if rows % gradient_accumulation_steps:
        raise ValueError(f"{rows} rows are not {gradient_accumulation_steps} equal microbatches")
    return [np.arange(first, rows, gradient_accumulation_steps) for first in range(gradient_accumulation_steps)]


def check_shares(recipe: TrainConfig, device_count: int) -> None:
    """Raise ValueError unless every device gets as many rows of each part as any other."""
    if recipe.batch_size % (device_count * recipe.gradient_accumulation_steps):
        steps = recipe.gradient_accumulation_steps
        each = "" if steps == 1 else f" times {steps} microbatches"
        raise ValueError(f"batch_size must be a multiple of {device_count} devices{each}; got {recipe.batch_size}")


def resolve_remat(recipe: TrainConfig, pixels: int | None, device_count: int) -> bool:
    """Return True where a network of this recipe is trained under activation checkpointing.

    The recipe says so, or leaves it to the pixels of a global batch: then where a device computes many at once, and
    not where their number is not known (None).
    """
    if recipe.remat is not None:
        return recipe.remat
    return pixels is not None and pixels // (device_count * recipe.gradient_accumulation_steps) > RECOMPUTED_PIXELS


def describe(process_count: int, device_count: int, kind: str) -> str:
    """Return such words as "2 processes, 4 cuda devices"."""
    processes = "1 process" if process_count == 1 else f"{process_count} processes"
    return f"{processes}, {device_count} {kind} device{'s' if device_count > 1 else ''}"
