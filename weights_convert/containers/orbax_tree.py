"""The arrays of an Orbax tree, read and written with TensorStore, in which Orbax keeps them.

Neither Orbax nor JAX takes part: JAX would cast what has 64 bits, and Orbax holds a whole network three times
while it writes one. What is written is what Orbax 0.12 writes: one zarr array for each tensor, in an OCDBT
database, and `_METADATA`, which lists them. What is read is also what Orbax wrote without OCDBT or as zarr3.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from danet_common import CheckpointError
from danet_common.regular_file import Limit, read_regular
from danet_common.strict_json import parse_json
from weights_convert.containers.pickled_arrays import is_plain
from weights_convert.containers.zip_archive import bound

TREE = "_METADATA"  # Orbax's description of a tree
TEXT_LIMIT = Limit(10_000_000, "a text of Orbax's")  # 10 times the description of a ResNet-152's training state
BATCH = 1 << 26  # bytes that are written to the database at a time
SYSTEM_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EIO)
DICT_KEY = 2  # of Orbax's types of keys
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

Leaves = Mapping[tuple[str, ...], np.ndarray]


def write_tree(state: Path, leaves: Leaves) -> None:
    """Write the arrays into the directory `state`, which is made. Whatever goes wrong is an OSError.

    Raises CheckpointError for a dtype that no such array has.
    """
    import tensorstore

    for leaf, array in leaves.items():
        if not is_plain(array) and array.dtype != BFLOAT16:
            raise CheckpointError(f"an Orbax tree has no dtype for {'.'.join(leaf)}, which is {array.dtype}")
    description = {
        "tree_metadata": {str(leaf): _leaf(leaf) for leaf in leaves},
        "use_ocdbt": True,
        "use_zarr3": False,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None,
    }
    state.mkdir(parents=True)
    try:
        store = tensorstore.KvStore.open({"driver": "ocdbt", "base": _files(state)}).result()
        for batch in _batches(leaves):
            with tensorstore.Transaction(atomic=True) as transaction:
                for leaf in batch:
                    for key, value in _records(".".join(leaf), leaves[leaf]):
                        store.with_transaction(transaction)[key] = value
    except (ValueError, RuntimeError) as error:  # TensorStore's, where the disk is full, ...
        raise as_os_error(error) from None
    (state / TREE).write_text(json.dumps(description))


def _leaf(leaf: tuple[str, ...]) -> dict[str, Any]:
    return {
        "key_metadata": [{"key": key, "key_type": DICT_KEY} for key in leaf],
        "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
    }


def _records(name: str, array: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """A zarr array (version 2): its metadata, and its values as a single chunk."""
    metadata = {
        "zarr_format": 2,
        "shape": array.shape,
        "chunks": [max(1, size) for size in array.shape],
        "dtype": "bfloat16" if array.dtype == BFLOAT16 else array.dtype.str,
        "fill_value": None,
        "order": "C",
        "compressor": None,  # weights hardly shrink
        "filters": None,
        "dimension_separator": ".",
    }
    yield f"{name}/.zarray", json.dumps(metadata).encode()
    yield f"{name}/{'.'.join('0' * array.ndim) or '0'}", array.tobytes()


def _batches(leaves: Leaves) -> Iterator[list[tuple[str, ...]]]:
    """The paths in runs of at least BATCH bytes: a transaction holds its arrays, and each leaves a file."""
    batch: list[tuple[str, ...]] = []
    size = 0
    for leaf, array in leaves.items():
        batch.append(leaf)
        size += array.nbytes
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_tree(state: Path) -> dict[tuple[str, ...], np.ndarray]:
    """Every array of the directory `state` by its path. Raises ValueError where it is incomplete or damaged."""
    import tensorstore

    try:
        description = parse_json(read_regular(state / TREE, TEXT_LIMIT))
        leaves = [
            tuple(str(part["key"]) for part in leaf["key_metadata"]) for leaf in description["tree_metadata"].values()
        ]
        _check_leaves(leaves)
        opened = [tensorstore.open(_location(state, leaf, description), read=True) for leaf in leaves]
        arrays = [future.result() for future in opened]
        claimed = sum(array.size * array.dtype.numpy_dtype.itemsize for array in arrays)
        chunks = (math.prod(size or 1 for size in array.chunk_layout.read_chunk.shape or ()) for array in arrays)
        if max(claimed, 8 * max(chunks, default=0)) > bound(_size(state)):
            raise ValueError("its arrays claim to be far larger than its files")
        read = [array.read() for array in arrays]
        return {leaf: future.result() for leaf, future in zip(leaves, read, strict=True)}
    except (ValueError, TypeError, LookupError, AttributeError, OSError, RuntimeError) as error:
        raise ValueError(first_line(error)) from None


def _check_leaves(leaves: list[tuple[str, ...]]) -> None:
    """Raise ValueError for a path that is there twice, or that leads out of the directory as the name of a file."""
    for leaf in leaves:
        if any(part in ("", ".", "..") or not set("/\\\0").isdisjoint(part) for part in leaf):
            raise ValueError(f"{'.'.join(leaf)[:100]!r} is no name of an array")
    if len(set(leaves)) != len(leaves):
        raise ValueError("an array is there twice")


def _location(state: Path, leaf: tuple[str, ...], description: Mapping[str, Any]) -> dict[str, Any]:
    """Where TensorStore finds one array, and that a missing piece of it is an error and not zeros."""
    name, files = ".".join(leaf), _files(state)
    if description.get("use_ocdbt"):
        store = {"driver": "ocdbt", "base": files, "path": f"{name}/"}
    else:
        store = {"driver": "file", "path": f"{files['path']}{name}/"}
    return {
        "driver": "zarr3" if description.get("use_zarr3") else "zarr",
        "kvstore": store,
        "fill_missing_data_reads": not description.get("store_array_data_equal_to_fill_value", False),
    }


def _files(state: Path) -> dict[str, str]:
    return {"driver": "file", "path": f"{state.resolve()}/"}  # TensorStore takes no ".."


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def as_os_error(error: Exception) -> OSError:
    """An error of TensorStore's as the system's: it quotes that at the end of a line of paths."""
    code = next((code for code in SYSTEM_ERRORS if os.strerror(code) in str(error)), None)
    return OSError(first_line(error)) if code is None else OSError(code, os.strerror(code))


def first_line(error: Exception) -> str:
    """The first line of an error of TensorStore's, which go on for many."""
    return str(error).partition("\n")[0][:200]
