"""Read and write plain pickles of NumPy arrays by name, such as Paddle's `.pdparams`.

`pickle_reader` says why this is safe. `paddle.save(layer.state_dict(), path)` writes one dictionary of arrays;
NAME_TABLE has Paddle's internal names. Source: python/paddle/framework/io.py, Paddle 3.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import CheckpointError
from danet_common.files.atomic import Judge, always, atomic_file
from weights_convert.containers import pickled_arrays
from weights_convert.containers.pickle_reader import read_pickle
from weights_convert.containers.pickle_writer import encode, sizes, text
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.zip_archive import Buffer, raw_bytes
from weights_convert.contents import Contents
from weights_convert.formats.flax_tree import from_flat
from weights_convert.formats.pickled_tree import collect

NAME = "pickle"
PROTOCOLS = tuple(bytes((0x80, number)) for number in (2, 3, 4, 5))
NAME_TABLE = "StructuredToParameterName@@"
KERNEL = ".kernel"  # ending of a name in a Flax tree
SLICES = "UnpackBigParamInfor@@"  # key of sliced arrays: protocol 2 cannot hold 4 GiB in one piece

# numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b"b"): an array before its state
EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
# its state follows: (1, shape, dtype, is Fortran-ordered, bytes); a dtype is numpy.dtype(text, False, True)
# with the state (3, byte order, None, None, None, -1, -1, 0)
DTYPE = b"cnumpy\ndtype\n(%b\x89\x88tR(K\x03%bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def recognises(source: SourceFile) -> bool:
    """True for a binary pickle; torch's own pickles are detected earlier."""
    return source.start.startswith(PROTOCOLS)


def read(source: SourceFile) -> Contents:
    """Read every array. Raise CheckpointError if the file is damaged or has other values."""
    file = source.file
    file.seek(0)
    content = read_pickle(file, pickled_arrays.CONSTRUCTORS)
    if file.tell() != file.size:
        raise CheckpointError(f"{file.size - file.tell()} bytes follow the end of the pickle; the file is damaged")
    fields = content if isinstance(content, dict) else {}
    if SLICES in fields:
        raise CheckpointError("its arrays are sliced. Save it again with paddle.save(..., protocol=4)")
    metadata = {NAME_TABLE: fields.get(NAME_TABLE)}
    tree = collect({key: value for key, value in fields.items() if key != NAME_TABLE} or content)
    tensors = {name: np.asarray(array) for name, array in tree.tensors.items()}
    others = {name: what for name, what in tree.others.items() if not name.endswith(NAME_TABLE)}
    if any(name.endswith(KERNEL) for name in tensors):
        return replace(from_flat(tensors), others=others)
    return Contents(tensors=tensors, others=others, holders=tree.holders, metadata=metadata)


def write_foreign(content: Mapping[str, Any], path: Path, replace: Judge = always) -> None:
    """Write a file for `paddle.load(path)`: arrays by name, and Paddle's table of names if there is one."""
    with atomic_file(path, replace) as temporary, temporary.open("wb") as file:
        file.write(b"\x80\x04")
        for part in encode(content, _array):
            file.write(part)
        file.write(b".")


def _array(array: np.ndarray) -> Iterator[Buffer]:
    """Yield the instructions of an array in protocol 4; its bytes are not copied."""
    if not pickled_arrays.is_plain(array):
        raise CheckpointError(f"Paddle cannot read an array of dtype {array.dtype}. Choose another with --dtype")
    dtype = DTYPE % (text(array.dtype.str[1:]), text("|" if array.dtype.itemsize == 1 else "<"))
    yield EMPTY_ARRAY + b"(K\x01" + sizes(array.shape) + dtype + b"\x89\x8e" + struct.pack("<Q", array.nbytes)
    yield raw_bytes(array)
    yield b"tb"
