"""How a global batch is shared: rows by processes and devices, and the parts of a step that accumulates.

A process has rows that lie together, and a part of a step every `accumulation`-th row: so a part holds the same
pictures whether one device computes it or many.
"""

from __future__ import annotations

import numpy as np

from danet_common.config.recipe import TrainConfig

RECOMPUTED_PIXELS = 2**20  # that a device computes at once; a ResNet-50 would keep 6 to 9 GiB of activations for them


def microbatches(rows: int, accumulation: int) -> list[np.ndarray]:
    """Indices into a process's rows, part by part. Raises ValueError unless the parts are equal."""
    if rows % accumulation:
        raise ValueError(f"{rows} rows are not {accumulation} equal parts")
    return [np.arange(first, rows, accumulation) for first in range(accumulation)]


def check_shares(recipe: TrainConfig, device_count: int) -> None:
    """Raise ValueError unless every device gets as many rows of each part as any other."""
    if recipe.batch_size % (device_count * recipe.accumulation):
        parts = "" if recipe.accumulation == 1 else f" times {recipe.accumulation} parts"
        raise ValueError(f"batch_size must be a multiple of {device_count} devices{parts}; got {recipe.batch_size}")


def resolve_remat(recipe: TrainConfig, pixels: int | None, device_count: int) -> bool:
    """Return True where a network of this recipe is trained under activation checkpointing.

    The recipe says so, or leaves it to the pixels of a global batch: then where a device computes many at once, and
    not where their number is not known (None).
    """
    if recipe.recompute is not None:
        return recipe.recompute
    return pixels is not None and pixels // (device_count * recipe.accumulation) > RECOMPUTED_PIXELS


def describe(process_count: int, device_count: int, kind: str) -> str:
    """Return such words as "2 processes, 4 cuda devices"."""
    processes = "1 process" if process_count == 1 else f"{process_count} processes"
    return f"{processes}, {device_count} {kind} device{'s' if device_count > 1 else ''}"
