"""Sizes that a picture is brought to, and labels brought to them.

Sizes are rounded half up, as the authors' code and mmcv do, in integers wherever the target is one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

Size = tuple[int, int]  # height, width


def scaled(size: Size, factor: float) -> Size:
    """Both sides times a factor, at least 1."""
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    return height, width


def with_long_side(size: Size, long_side: int) -> Size:
    """The same shape with a longer side of so many pixels: the authors' evaluation."""
    return _with_side(size, max(size), long_side)


def with_short_side(size: Size, short_side: int) -> Size:
    """The same shape with a shorter side of so many pixels."""
    return _with_side(size, min(size), short_side)


def fitted(size: Size, long_side: int, short_side: int) -> Size:
    """The largest of the same shape within both: mmcv's imrescale, mmsegmentation's `scale=(2048, 512)`."""
    if long_side * min(size) <= short_side * max(size):
        return with_long_side(size, long_side)
    return with_short_side(size, short_side)


def _with_side(size: Size, side: int, target: int) -> Size:
    height, width = (max(1, (2 * length * target + side) // (2 * side)) for length in size)
    return height, width


def resize_labels(labels: UInt8[np.ndarray, "h w"], height: int, width: int) -> UInt8[np.ndarray, "p q"]:
    """The nearest label of each pixel: that of the pixel in which its centre lies."""
    rows, columns = nearest(labels.shape[0], height), nearest(labels.shape[1], width)
    return labels[rows[:, None], columns]


def nearest(source: int, target: int, first: int = 0, count: int | None = None) -> np.ndarray:
    """For `count` of `target` pixels, from `first` on, the number of the nearest of `source` pixels along a side.

    In integers, so that no rounding decides where a centre falls between two.
    """
    chosen = np.arange(first, target if count is None else first + count)
    return (2 * chosen + 1) * source // (2 * target)
