"""Bilinear resizing of images and scores on the networks' own grids, some rows at a time.

Sample positions are rational, so the two weights of each output are computed in integers and divided once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

ROWS = 64  # of the result at once: full copies of scores are large


class Neighbours(NamedTuple):
    """The two inputs beside each output along an axis, and their weights times `denominator`."""

    low: Int[np.ndarray, " target"]
    high: Int[np.ndarray, " target"]
    low_weight: Int[np.ndarray, " target"]
    high_weight: Int[np.ndarray, " target"]
    denominator: int

    def weights(self, dtype: np.dtype) -> tuple[Float[np.ndarray, " target"], Float[np.ndarray, " target"]]:
        """Return the two weights, which add up to 1."""
        low, high = self.low_weight / self.denominator, self.high_weight / self.denominator
        return low.astype(dtype), high.astype(dtype)


def sample_positions(i: Any, source: int, target: int, grid: str, largest: Callable[..., int] = max) -> tuple[Any, int]:
    """Return numerators and denominator of the positions of outputs `i` among the inputs, before clipping.

    i        integers, of NumPy or of any framework
    source   number of inputs; like `target`, the number of outputs, a framework's integer where a graph decides it
    largest  maximum of two such integers
    """
    if grid == "corners":  # first and last samples meet
        return i * (source - 1), largest(target - 1, 1)
    if grid == "half_pixel":  # the edges of the first and last pixels meet
        return (2 * i + 1) * source - target, 2 * target
    return i * source, target  # asymmetric: the first samples meet (Paddle's align_mode=1)


def neighbours(source: int, target: int, grid: str) -> Neighbours:
    """Return the neighbours of each output, clipped to the first and the last input."""
    numerator, denominator = sample_positions(np.arange(target), source, target, grid)
    low, rest = np.divmod(np.clip(numerator, 0, (source - 1) * denominator), denominator)
    return Neighbours(low, np.minimum(low + 1, source - 1), denominator - rest, rest, denominator)


def resized_rows(
    x: Float[np.ndarray, "h w k"], height: int, width: int, grid: str
) -> Iterator[tuple[slice, Float[np.ndarray, "r p k"]]]:
    """Yield rows of the resized array with their slice of it; views where the size stays."""
    if x.shape[:2] == (height, width):
        yield from ((part, x[part]) for part in _parts(height))
        return
    rows, columns = neighbours(x.shape[0], height, grid), neighbours(x.shape[1], width, grid)
    above, below = (weights[:, None, None] for weights in rows.weights(x.dtype))
    left, right = (weights[:, None] for weights in columns.weights(x.dtype))
    for part in _parts(height):
        between = x[rows.low[part]] * above[part] + x[rows.high[part]] * below[part]  # (r, w, k)
        yield part, between[:, columns.low] * left + between[:, columns.high] * right


def resize(x: Float[np.ndarray, "h w k"], height: int, width: int, grid: str) -> Float[np.ndarray, "p q k"]:
    """Return the resized array, or `x` itself where the size stays."""
    if x.shape[:2] == (height, width):
        return x
    out = np.empty((height, width, x.shape[2]), x.dtype)
    for part, rows in resized_rows(x, height, width, grid):
        out[part] = rows
    return out


def resize_bytes(x: UInt8[np.ndarray, "h w k"], height: int, width: int, grid: str) -> UInt8[np.ndarray, "p q k"]:
    """Return resized pixels, rounded half up, in integer arithmetic."""
    if x.shape[:2] == (height, width):
        return x
    rows, columns = neighbours(x.shape[0], height, grid), neighbours(x.shape[1], width, grid)
    denominator = rows.denominator * columns.denominator
    out = np.empty((height, width, x.shape[2]), np.uint8)
    for part in _parts(height):
        above, below = rows.low_weight[part, None, None], rows.high_weight[part, None, None]
        between = x[rows.low[part]] * above + x[rows.high[part]] * below
        left, right = columns.low_weight[:, None], columns.high_weight[:, None]
        weighted = between[:, columns.low] * left + between[:, columns.high] * right
        out[part] = (2 * weighted + denominator) // (2 * denominator)
    return out


def _parts(height: int) -> Iterator[slice]:
    yield from (slice(first, min(first + ROWS, height)) for first in range(0, height, ROWS))
