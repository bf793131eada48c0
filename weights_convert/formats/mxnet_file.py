"""Read and write MXNet's `.params`, the format of `mxnet.nd.save` and Gluon's `save_parameters`.

All numbers are little-endian. The file has a magic number, a reserved word, the arrays and their names; a length
precedes each list. An array has version, kind of storage, shape, device, dtype, and its bytes in C order.
Source: src/ndarray/ndarray.cc and include/mxnet/tuple.h, MXNet 1.9.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from danet_common import CheckpointError
from danet_common.files.atomic import Judge, always, atomic_file
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.zip_archive import Buffer, raw_bytes
from weights_convert.contents import Contents

NAME = "mxnet"
MAGIC = struct.pack("<Q", 0x112)
VERSIONS = (0xF993FAC8, 0xF993FAC9, 0xF993FACA)  # 1: 64-bit sizes; 2: also a kind of storage; 3: also empty shapes
V1, V2, V3 = VERSIONS
DENSE = 0
CPU = (1, 0)  # device type and number
MAXIMUM_DIMENSIONS = 32  # MXNet's limit
DTYPES: Mapping[int, np.dtype[Any]] = {
    0: np.dtype(np.float32),
    1: np.dtype(np.float64),
    2: np.dtype(np.float16),
    3: np.dtype(np.uint8),
    4: np.dtype(np.int32),
    5: np.dtype(np.int8),
    6: np.dtype(np.int64),
    7: np.dtype(np.bool_),
    12: np.dtype(ml_dtypes.bfloat16),
}
FLAGS = {dtype: flag for flag, dtype in DTYPES.items()}
PREFIXES = ("arg:", "aux:")  # for weights and statistics in files of `mxnet.model.save_checkpoint`


def recognises(source: SourceFile) -> bool:
    """True if the file starts with the magic number of a list of arrays."""
    return source.start.startswith(MAGIC)


def read(source: SourceFile) -> Contents:
    """Read every array. Raise CheckpointError if the file is damaged or its arrays have no names."""
    cursor = _Cursor(source)
    try:
        cursor.take("<QQ")
        arrays = [cursor.array() for _ in range(cursor.count())]
        names = [cursor.bytes(cursor.take("<Q")[0]).decode() for _ in range(cursor.count())]
    except ValueError as error:
        raise error if isinstance(error, CheckpointError) else cursor.damage(str(error)) from None
    if not names:
        raise CheckpointError(f"the {len(arrays)} arrays of the MXNet file have no names")
    if len(names) != len(arrays) or cursor.left:
        raise cursor.damage(f"{len(arrays)} arrays, {len(names)} names")
    if len({*names}) != len(names):
        raise cursor.damage("a name occurs twice")
    if all(name.startswith(PREFIXES) for name in names):
        names = [name.partition(":")[2] for name in names]
    return Contents(tensors=dict(zip(names, arrays, strict=True)))


class _Cursor:
    """Sequential reader of the file; compares every announced length with the bytes that are left."""

    def __init__(self, source: SourceFile) -> None:
        self.file = source.file
        self.file.seek(0)

    @property
    def left(self) -> int:
        return self.file.size - self.file.tell()

    def damage(self, what: str) -> CheckpointError:
        return CheckpointError(f"an MXNet file that is cut short or damaged near byte {self.file.tell()}: {what}")

    def bytes(self, count: int) -> bytes:
        if count > self.left:
            raise self.damage(f"{count} bytes announced, {self.left} left")
        return self.file.read(count)

    def take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)))

    def count(self) -> int:
        """Return the length of a list; each item needs at least four bytes."""
        (number,) = self.take("<Q")
        if 4 * number > self.left:
            raise self.damage(f"{number} items announced")
        return int(number)

    def array(self) -> np.ndarray:
        version, size = self.take("<I")[0], "q"
        if version not in VERSIONS:  # before version 1 an array starts with its number of dimensions
            self.file.seek(-4, os.SEEK_CUR)
            size = "I"
        elif version != V1 and self.take("<i")[0] != DENSE:
            raise self.damage("an array is sparse; no DANet has one")
        (dimensions,) = self.take("<i")
        if not 0 <= dimensions <= MAXIMUM_DIMENSIONS:
            raise self.damage(f"an array of {dimensions} dimensions")
        shape = self.take(f"<{dimensions}{size}")
        if dimensions == 0 and version != V3:
            raise self.damage("an array has no shape")
        _, _, flag = self.take("<iii")
        if flag not in DTYPES or min(shape, default=0) < 0:
            raise self.damage(f"an array of dtype number {flag} and shape {list(shape)}")
        return np.frombuffer(self.bytes(math.prod(shape) * DTYPES[flag].itemsize), DTYPES[flag]).reshape(shape)


def write_foreign(content: Mapping[str, Any], path: Path, replace: Judge = always) -> None:
    """Write a file for `mxnet.nd.load(path)` and Gluon's `load_parameters(path)`."""
    with atomic_file(path, replace) as temporary, temporary.open("wb") as file:
        for part in _parts(content):
            file.write(part)


def _parts(named: Mapping[str, np.ndarray]) -> Iterator[Buffer]:
    yield MAGIC + struct.pack("<QQ", 0, len(named))
    for name, array in named.items():
        if array.dtype not in FLAGS:
            raise CheckpointError(f"MXNet cannot hold {name} of dtype {array.dtype}. Choose another with --dtype")
        if array.ndim == 0:
            raise CheckpointError(f"MXNet cannot hold {name}: Gluon has no scalars")
        yield struct.pack("<Ii", V2, DENSE) + struct.pack(f"<i{array.ndim}q", array.ndim, *array.shape)
        yield struct.pack("<iii", *CPU, FLAGS[array.dtype])
        yield raw_bytes(array)
    yield struct.pack("<Q", len(named))
    for name in named:
        raw = name.encode()
        yield struct.pack("<Q", len(raw)) + raw
