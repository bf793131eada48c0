"""Groups and datasets of an HDF5 file, and where the bytes of each dataset start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from weights_convert.containers.file_bytes import FileBytes
from weights_convert.containers.pickled_arrays import native


@dataclass(frozen=True)
class Dataset:
    """One dataset. `start` is its offset in the file; `error` says why it cannot be read, "" if it can."""

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    attributes: Mapping[str, str | None]
    error: str = ""

    @property
    def size(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def values(self, raw: np.ndarray | FileBytes) -> np.ndarray:
        """Return the array in native byte order; a view of `raw`, uint8 (n,), if `raw` is in memory."""
        return native(raw[self.start : self.start + self.size].view(self.dtype).reshape(self.shape))


@dataclass(frozen=True)
class Hdf5:
    """One file: attributes of the root (None if not text), paths of the groups, datasets by path."""

    attributes: Mapping[str, str | None]
    groups: frozenset[str]
    datasets: Mapping[str, Dataset]


def check_overlaps(datasets: Mapping[str, Dataset]) -> None:
    """Raise ValueError if two datasets share a byte: overlaps let a small file expand to a large one."""
    end = 0
    for name, dataset in sorted(datasets.items(), key=lambda item: item[1].start):
        if dataset.size and not dataset.error:
            if dataset.start < end:
                raise ValueError(f"{name} overlaps another dataset")
            end = dataset.start + dataset.size
