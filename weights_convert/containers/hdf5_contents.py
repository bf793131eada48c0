"""Groups and datasets of an HDF5 file, and the datatypes that Keras writes: integers, floats and bfloat16.

Source: HDF5 File Format Specification, version 3.0, section IV.A.2.d, the datatype message.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from weights_convert.containers.pickled_arrays import native
from weights_convert.containers.source_file import FileBytes

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
BFLOAT16_ATTRIBUTE = "bfloat16"  # Keras stores a bfloat16 tensor as opaque pairs of bytes with this attribute

# Class and version 1, flags, size, then the bits: first, count, exponent's place and size, mantissa's, bias.
FLOAT = struct.Struct("<B3BIHHBBBBI")
INTEGER = struct.Struct("<B3BIHH")
SIGNED = 0x08
DTYPES: Mapping[bytes, np.dtype] = {
    FLOAT.pack(0x11, 0x20, 15, 0, 2, 0, 16, 10, 5, 0, 10, 15): np.dtype(np.float16),
    FLOAT.pack(0x11, 0x20, 31, 0, 4, 0, 32, 23, 8, 0, 23, 127): np.dtype(np.float32),
    FLOAT.pack(0x11, 0x20, 63, 0, 8, 0, 64, 52, 11, 0, 52, 1023): np.dtype(np.float64),
    **{
        INTEGER.pack(0x10, SIGNED if kind == "i" else 0, 0, 0, size, 0, 8 * size): np.dtype(f"{kind}{size}")
        for kind in "iu"
        for size in (1, 2, 4, 8)
    },
}
LENGTHS = {0: INTEGER.size, 1: FLOAT.size}  # by class; the rest is padding
BIG_ENDIAN = 0x01  # flag in both classes


def read_dtype(message: bytes, attribute: str | None) -> np.dtype | None:
    """Return the dtype of a datatype message of at least 8 bytes; None if it is not a plain number."""
    if attribute == BFLOAT16_ATTRIBUTE:
        return BFLOAT16 if message[4:8] == struct.pack("<I", BFLOAT16.itemsize) else None
    kind, flags = message[0] & 0x0F, message[1]
    dtype = DTYPES.get(bytes([kind | 0x10, flags & ~BIG_ENDIAN]) + message[2 : LENGTHS.get(kind)])
    return dtype.newbyteorder(">") if dtype is not None and flags & BIG_ENDIAN else dtype


@dataclass(frozen=True)
class Dataset:
    """One dataset. `start` is its offset in the file; `error` says why it cannot be read, "" if it can."""

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
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
