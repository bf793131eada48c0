"""The bytes of an open file as an array that is not in memory: each part is read when it is asked for.

A memory-mapped file would do the same, but ends the process by SIGBUS where another one cuts the file short.
"""

from __future__ import annotations

import numpy as np

from danet_common.regular_file import RegularFile

WINDOW = 1 << 14  # bytes that are read at once where fewer are asked for


class FileBytes:
    """`self[start:end]` is uint8 (n,), in memory of its own."""

    def __init__(self, file: RegularFile) -> None:
        self.file = file
        self.size = file.size
        self._window = np.empty(0, np.uint8)
        self._first = 0  # byte of the window

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> np.ndarray:
        start, end, _ = part.indices(self.size)
        count = max(0, end - start)
        if count >= WINDOW:
            return self.file.read_at(start, count)
        if start < self._first or end > self._first + self._window.size:
            self._first, self._window = start, self.file.read_at(start, min(WINDOW, self.size - start))
        return self._window[start - self._first : start - self._first + count].copy()


def part_of(data: memoryview | FileBytes, start: int, end: int) -> memoryview:
    """Bytes in memory: a view of `data` where that is."""
    return data[start:end] if isinstance(data, memoryview) else data[start:end].data
