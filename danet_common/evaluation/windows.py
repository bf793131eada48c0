"""Positions of the windows in an image, and the number of windows in a batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from danet_common.config import DANetConfig
from danet_common.data.resizing import Size
from danet_common.evaluation.protocol import Protocol
from danet_common.evaluation.protocols import LARGEST_MAP

LARGEST_BATCH = 2**21  # pixels: one frame of Cityscapes


class Windows(NamedTuple):
    """The size of the windows, their first rows and columns, and the size that they cover."""

    size: Size
    tops: list[int]
    lefts: list[int]
    covered: Size

    def counts(self, first: int, last: int, width: int) -> Int[np.ndarray, "r w"]:
        """Return the number of windows over each pixel of rows `first` to `last` - 1 and of `width` columns."""
        rows = _covering(self.tops, self.size[0], np.arange(first, last))
        return rows[:, None] * _covering(self.lefts, self.size[1], np.arange(width))


def place_windows(size: Size, protocol: Protocol) -> Windows:
    """Return the windows of an image. With the edge `pad` they may reach beyond it, and the image must be padded."""
    window, stride = protocol.window or size, protocol.stride or size
    if protocol.edge == "shift":
        window = min(window[0], size[0]), min(window[1], size[1])
    tops, lefts = (
        _starts(length, side, step, protocol.edge) for length, side, step in zip(size, window, stride, strict=True)
    )
    return Windows(window, tops, lefts, (tops[-1] + window[0], lefts[-1] + window[1]))


def _starts(length: int, side: int, step: int, edge: str) -> list[int]:
    """Return the starts of windows that cover a length."""
    count = 1 + max(0, -(-(length - side) // step))
    last = length - side if edge == "shift" else length
    return [min(index * step, last) for index in range(count)]


def _covering(starts: list[int], side: int, pixels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return the number of intervals over each pixel."""
    first = np.asarray(starts)[:, None]
    return ((first <= pixels) & (pixels < first + side)).sum(axis=0)


def batch_size(count: int, size: Size, config: DANetConfig) -> int:
    """Return the largest number of windows in a batch that divides `count` and needs the memory of a large image.

    Equal batches let a compiled network be compiled once.
    """
    positions = -(-size[0] // config.output_stride) * -(-size[1] // config.output_stride)
    most = max(1, min(LARGEST_BATCH // (size[0] * size[1]), LARGEST_MAP // (4 * positions**2)))
    return next(batch for batch in range(min(most, count), 0, -1) if count % batch == 0)
