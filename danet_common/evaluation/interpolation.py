"""Bilinear resizing of pictures and scores on the networks' own grids, a few rows at a time.

Sample positions are rationals, so the two weights of each output are computed in integers and divided once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

ROWS = 64  # of the result that are made at once: full copies of scores are large


class Neighbours(NamedTuple):
    """For each output along one side: the two inputs that it lies between, and their weights."""

    low: Int[np.ndarray, " target"]
    high: Int[np.ndarray, " target"]
    low_weight: Float[np.ndarray, " target"]
    high_weight: Float[np.ndarray, " target"]


def neighbours(source: int, target: int, grid: str, dtype: np.dtype) -> Neighbours:
    """Output i lies at numerator / denominator of the inputs, kept between the first and the last."""
    i = np.arange(target)
    if grid == "corners":  # first and last samples meet
        numerator, denominator = i * (source - 1), max(target - 1, 1)
    elif grid == "half_pixel":  # the edges of the first and last pixels meet
        numerator, denominator = (2 * i + 1) * source - target, 2 * target
    else:  # asymmetric: the first samples meet (Paddle's align_mode=1)
        numerator, denominator = i * source, target
    low, rest = np.divmod(np.clip(numerator, 0, (source - 1) * denominator), denominator)
    weights = [(part / denominator).astype(dtype) for part in (denominator - rest, rest)]
    return Neighbours(low, np.minimum(low + 1, source - 1), *weights)


def resized_rows(
    x: Float[np.ndarray, "h w k"], height: int, width: int, grid: str
) -> Iterator[tuple[slice, Float[np.ndarray, "r p k"]]]:
    """The array at another size, some rows at a time, with where they belong. At its own size they are views."""
    if x.shape[:2] == (height, width):
        yield from ((part, x[part]) for part in _parts(height))
        return
    rows, columns = neighbours(x.shape[0], height, grid, x.dtype), neighbours(x.shape[1], width, grid, x.dtype)
    for part in _parts(height):
        low, high = rows.low_weight[part, None, None], rows.high_weight[part, None, None]
        between = x[rows.low[part]] * low + x[rows.high[part]] * high  # (r, w, k)
        low, high = columns.low_weight[:, None], columns.high_weight[:, None]
        yield part, between[:, columns.low] * low + between[:, columns.high] * high


def resize(x: Float[np.ndarray, "h w k"], height: int, width: int, grid: str) -> Float[np.ndarray, "p q k"]:
    """The array at another size; itself where that is its own."""
    if x.shape[:2] == (height, width):
        return x
    out = np.empty((height, width, x.shape[2]), x.dtype)
    for part, rows in resized_rows(x, height, width, grid):
        out[part] = rows
    return out


def _parts(height: int) -> Iterator[slice]:
    yield from (slice(first, min(first + ROWS, height)) for first in range(0, height, ROWS))
