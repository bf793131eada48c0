"""Counting what a process reads of safetensors files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from danet_common import stored

Reads = list[tuple[str, int]]


class CountedFile:
    """A handle of the safetensors library that notes the name and the bytes of everything read through it."""

    def __init__(self, handle: Any, reads: Reads) -> None:
        self.handle = handle
        self.reads = reads

    def get_slice(self, name: str) -> CountedSlice:
        """One tensor, not yet read."""
        return CountedSlice(self.handle.get_slice(name), name, self.reads)


class CountedSlice:
    """One tensor of a file; indexing it reads."""

    def __init__(self, entry: Any, name: str, reads: Reads) -> None:
        self.entry = entry
        self.name = name
        self.reads = reads

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        array = self.entry[index]
        self.reads.append((self.name, array.nbytes))
        return array


@contextmanager
def counted_reads() -> Iterator[Reads]:
    """The name and the bytes of every read from a safetensors file, in order."""
    reads: Reads = []
    open_file = stored.open_file

    def open_counted(path: Path) -> stored.StoredFile:
        file = open_file(path)
        return file._replace(handle=CountedFile(file.handle, reads))

    with mock.patch.object(stored, "open_file", open_counted):
        yield reads
