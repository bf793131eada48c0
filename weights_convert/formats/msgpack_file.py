"""Read Flax's msgpack files, the format of `flax.serialization.to_bytes`.

Extension 1 is an array, 3 a NumPy scalar; both are (shape, name of the dtype, bytes). Arrays of more than 1 GiB
come in chunks. Source: flax/serialization.py, Flax 0.12.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from danet_common import CheckpointError
from danet_common.float8 import FLOAT8
from weights_convert.containers.msgpack_reader import Extension, read_msgpack
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats.flax_tree import flat, from_leaves

NAME = "msgpack"
DIRECTORY = False
CHUNKED = "__msgpack_chunked_array__"
ARRAY, SCALAR = 1, 3  # extension codes
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = {name: np.dtype(name) for name in ("bool", *INTEGERS, "float16", "float32", "float64")}
DTYPES |= {"bfloat16": np.dtype(ml_dtypes.bfloat16), **FLOAT8}


def recognises(source: SourceFile) -> bool:
    """True if the file starts with a non-empty map whose first key is text."""
    start = source.start
    if not start:
        return False
    sizes = {0xDE: 3, 0xDF: 5}  # bytes before the first key of a large map
    first = sizes.get(start[0], 1 if 0x81 <= start[0] <= 0x8F else 0)
    return bool(first) and len(start) > first and (0xA0 <= start[first] <= 0xBF or start[first] in (0xD9, 0xDA, 0xDB))


def read(source: SourceFile) -> Contents:
    """Read every array. Raise CheckpointError if the file is damaged."""
    try:
        return from_leaves(flat(_joined(read_msgpack(source.data, _array))))
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise CheckpointError(f"{source.path}: not a Flax msgpack file, or damaged: {error}") from None


def _array(extension: Extension) -> np.ndarray:
    if extension.code not in (ARRAY, SCALAR):
        raise ValueError(f"extension {extension.code} is not an array")
    shape, name, raw = read_msgpack(extension.data, _nested)
    if not isinstance(shape, list) or not isinstance(name, str) or not isinstance(raw, memoryview):
        raise ValueError("an array lacks shape, dtype or bytes")
    return np.frombuffer(raw, DTYPES[name]).reshape(shape)


def _nested(extension: Extension) -> Any:
    raise ValueError("an array contains an extension value")


def _joined(tree: Any) -> Any:
    """Return the tree with chunked arrays joined."""
    if not isinstance(tree, dict):
        return tree
    if CHUNKED in tree:
        shape = [tree["shape"][str(axis)] for axis in range(len(tree["shape"]))]
        return np.concatenate([tree["chunks"][str(index)] for index in range(len(tree["chunks"]))]).reshape(shape)
    return {key: _joined(branch) for key, branch in tree.items()}
