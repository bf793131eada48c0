"""Read Flax's msgpack files, the format of `flax.serialization.to_bytes`, with msgpack's own reader.

Extension 1 is an array, 3 a NumPy scalar; both are (shape, name of the dtype, bytes). Arrays of more than 1 GiB
come in chunks. Source: flax/serialization.py, Flax 0.12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from danet_common import CheckpointError
from danet_common.checkpoint.float8 import FLOAT8
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats.flax_tree import flat, from_leaves

NAME = "msgpack"
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
        return from_leaves(flat(_joined(_unpack(source.data[:].data, _array))))
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"not a Flax msgpack file, or damaged: {reason}") from None


def _unpack(data: memoryview | bytes, convert: Callable[[int, bytes], Any]) -> Any:
    """Return the value in `data`; `convert` maps its extensions. Raise ValueError if it is damaged.

    No length in the file may exceed the size of the file, else a few bytes could claim memory for 2**32 values.
    """
    import msgpack

    size = len(data)
    return msgpack.unpackb(
        data,
        ext_hook=convert,
        object_pairs_hook=_map,
        strict_map_key=False,
        max_str_len=size,
        max_bin_len=size,
        max_ext_len=size,
        max_array_len=size,
        max_map_len=size // 2,
    )


def _map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Return a map by text. An integer key (the index of a list, in some trees) becomes text."""
    result = {str(key): value for key, value in pairs if type(key) in (str, int)}
    if len(result) < len(pairs):
        raise ValueError("a key is not text, or occurs twice")
    return result


def _array(code: int, data: bytes) -> np.ndarray:
    if code not in (ARRAY, SCALAR):
        raise ValueError(f"extension {code} is not an array")
    shape, name, raw = _unpack(data, _nested)
    if not isinstance(shape, list) or not isinstance(name, str) or not isinstance(raw, bytes):
        raise ValueError("an array lacks shape, dtype or bytes")
    return np.frombuffer(raw, DTYPES[name]).reshape(shape)


def _nested(code: int, data: bytes) -> Any:
    raise ValueError("an array contains an extension value")


def _joined(tree: Any) -> Any:
    """Return the tree with chunked arrays joined."""
    if not isinstance(tree, dict):
        return tree
    if CHUNKED in tree:
        shape = [tree["shape"][str(axis)] for axis in range(len(tree["shape"]))]
        return np.concatenate([tree["chunks"][str(index)] for index in range(len(tree["chunks"]))]).reshape(shape)
    return {key: _joined(branch) for key, branch in tree.items()}
