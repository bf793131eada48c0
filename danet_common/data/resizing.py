"""Sizes of resized images and pixels of resized labels; sizes are rounded half up, like the authors' code and mmcv."""

from __future__ import annotations

import numpy as np

Size = tuple[int, int]  # height, width


def scaled(size: Size, factor: float) -> Size:
    """Return both sides times a factor, at least 1."""
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    return height, width


def with_long_side(size: Size, long_side: int) -> Size:
    """Return a size of the same shape by its longer side, as in the authors' evaluation."""
    return _with_side(size, max(size), long_side)


def with_short_side(size: Size, short_side: int) -> Size:
    """Return a size of the same shape by its shorter side."""
    return _with_side(size, min(size), short_side)


def fitted(size: Size, long_side: int, short_side: int) -> Size:
    """Return the largest size of the same shape within both sides, like mmcv's imrescale."""
    if long_side * min(size) <= short_side * max(size):
        return with_long_side(size, long_side)
    return with_short_side(size, short_side)


def _with_side(size: Size, side: int, target: int) -> Size:
    height, width = (max(1, (2 * length * target + side) // (2 * side)) for length in size)
    return height, width


def nearest(source: int, target: int, first: int = 0, count: int | None = None) -> np.ndarray:
    """Return the nearest of `source` pixels for `count` of `target` pixels from `first`, in exact integers."""
    pixels = np.arange(first, target if count is None else first + count)
    return (2 * pixels + 1) * source // (2 * target)
