"""Index an open file like a byte array without loading it: each slice is one read.

We do not use mmap. If another process truncates a mapped file, SIGBUS kills this process.
"""

from __future__ import annotations

import numpy as np

from danet_common.files.regular_file import RegularFile

WINDOW = 1 << 14  # bytes; the least that one read of the file takes


class FileBytes:
    """An open file; `self[start:end]` returns a new array, uint8 (n,)."""

    def __init__(self, file: RegularFile) -> None:
        self.file = file
        self.size = file.size
        self._window = np.empty(0, np.uint8)
        self._first = 0  # offset of the window in the file

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
