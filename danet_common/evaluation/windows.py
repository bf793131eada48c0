"""Where the windows of a picture lie, and how many the network sees at once."""

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
    """The first rows and columns of windows of one size, and the size of the picture that they cover exactly."""

    size: Size
    tops: list[int]
    lefts: list[int]
    covered: Size

    def counts(self, first: int, last: int, width: int) -> Int[np.ndarray, "r w"]:
        """How many windows have each pixel of the rows from `first` to before `last`, and of `width` columns."""
        rows = _covering(self.tops, self.size[0], np.arange(first, last))
        return rows[:, None] * _covering(self.lefts, self.size[1], np.arange(width))


def place_windows(size: Size, protocol: Protocol) -> Windows:
    """The windows of a picture.

    Where the edge is `shift` they end with the picture, and are no larger; where it is `pad` they may reach beyond,
    so that the picture must be filled up to the size that they cover.
    """
    window, stride = protocol.window or size, protocol.stride or size
    if protocol.edge == "shift":
        window = min(window[0], size[0]), min(window[1], size[1])
    tops, lefts = (
        _starts(length, side, step, protocol.edge) for length, side, step in zip(size, window, stride, strict=True)
    )
    return Windows(window, tops, lefts, (tops[-1] + window[0], lefts[-1] + window[1]))


def _starts(length: int, side: int, step: int, edge: str) -> list[int]:
    """As many windows as it takes until one reaches the end."""
    count = 1 + max(0, -(-(length - side) // step))
    last = length - side if edge == "shift" else length
    return [min(index * step, last) for index in range(count)]


def _covering(starts: list[int], side: int, pixels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """How many of the intervals that begin at `starts` have each pixel."""
    first = np.asarray(starts)[:, None]
    return ((first <= pixels) & (pixels < first + side)).sum(axis=0)


def batch_size(count: int, size: Size, config: DANetConfig) -> int:
    """The most windows of this size at once that need no more memory than one large picture and divide their number.

    All batches are alike, so that a compiled network is compiled once.
    """
    positions = -(-size[0] // config.output_stride) * -(-size[1] // config.output_stride)
    room = max(1, min(LARGEST_BATCH // (size[0] * size[1]), LARGEST_MAP // (4 * positions**2)))
    return next(batch for batch in range(min(room, count), 0, -1) if count % batch == 0)
