"""Counting what a process reads of safetensors files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np

from danet_common.checkpoint.lazy import LazyFile, Slices

Reads = list[tuple[str, int]]


@contextmanager
def counted_reads() -> Iterator[Reads]:
    """The name and the bytes of every read from a safetensors file, in order."""
    reads: Reads = []
    read = LazyFile.read

    def read_counted(file: LazyFile, key: str, index: Slices = ()) -> np.ndarray:
        array = read(file, key, index)
        reads.append((key, array.nbytes))
        return array

    with mock.patch.object(LazyFile, "read", read_counted):
        yield reads
