"""What an HDF5 file holds: its groups, its datasets and where their bytes are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from weights_convert.containers.file_bytes import FileBytes
from weights_convert.containers.pickled_arrays import native


@dataclass(frozen=True)
class Dataset:
    """One dataset: `start` is its first byte in the file; where it cannot be read, `error` says why."""

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    attributes: Mapping[str, str | None]
    error: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def values(self, raw: np.ndarray | FileBytes) -> np.ndarray:
        """The array, in this machine's byte order; a view of `raw`, uint8 (n,), where that is in memory."""
        return native(raw[self.start : self.start + self.size].view(self.dtype).reshape(self.shape))


@dataclass(frozen=True)
class Hdf5:
    """A whole file. `attributes` are the root's, with None for a value that is no text; groups have their paths."""

    attributes: Mapping[str, str | None]
    groups: frozenset[str]
    datasets: Mapping[str, Dataset]


def check_overlaps(datasets: Mapping[str, Dataset]) -> None:
    """Raise ValueError where a byte belongs to two datasets: a small file could unfold into a large one."""
    end = 0
    for name, dataset in sorted(datasets.items(), key=lambda item: item[1].start):
        if dataset.size and not dataset.error:
            if dataset.start < end:
                raise ValueError(f"{name} overlaps another dataset")
            end = dataset.start + dataset.size
