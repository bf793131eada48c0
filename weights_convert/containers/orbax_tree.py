"""Read and write the arrays of an Orbax tree with TensorStore, the storage of Orbax.

Orbax itself is not used: it needs JAX, which casts 64-bit arrays, and it holds three copies of a network while
it writes one. The writer makes the layout of Orbax 0.12: one zarr array for each tensor in an OCDBT database,
and `_METADATA`, which lists them. The reader also takes trees without OCDBT and trees in zarr3.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from danet_common import CheckpointError
from danet_common.files.regular_file import Limit, read_regular
from danet_common.files.strict_json import parse_json
from weights_convert.containers.pickled_arrays import is_plain
from weights_convert.containers.zip_archive import bound

TREE = "_METADATA"  # Orbax's list of the arrays
DATABASE = "manifest.ocdbt"
TEXT_LIMIT = Limit(10_000_000, "an Orbax metadata file")  # 10 times that of a ResNet-152's training state
BATCH = 1 << 26  # bytes in one transaction
SYSTEM_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EIO)
DICT_KEY = 2  # Orbax's key type of a dictionary
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

Leaves = Mapping[tuple[str, ...], np.ndarray]


def write_tree(state: Path, leaves: Leaves) -> None:
    """Create the directory `state` and write the arrays into it.

    Raise OSError if writing fails, and CheckpointError for a dtype that zarr cannot hold.
    """
    import tensorstore

    for leaf, array in leaves.items():
        if not is_plain(array) and array.dtype != BFLOAT16:
            name = ".".join(leaf)
            raise CheckpointError(f"Orbax cannot hold {name} of dtype {array.dtype}. Choose another with --dtype")
    description = {
        "tree_metadata": {
            str(leaf): {
                "key_metadata": [{"key": key, "key_type": DICT_KEY} for key in leaf],
                "value_metadata": {"value_type": "np.ndarray", "skip_deserialize": False},
            }
            for leaf in leaves
        },
        "use_ocdbt": True,
        "use_zarr3": False,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None,
    }
    state.mkdir(parents=True)
    try:
        store = tensorstore.KvStore.open({"driver": "ocdbt", "base": _files(state)}).result()
        ends = itertools.accumulate(array.nbytes for array in leaves.values())
        for _, batch in itertools.groupby(zip(ends, leaves, strict=True), key=lambda item: item[0] // BATCH):
            with tensorstore.Transaction(atomic=True) as transaction:  # holds its arrays, and leaves one file
                for _, leaf in batch:
                    for key, value in _records(".".join(leaf), leaves[leaf]):
                        store.with_transaction(transaction)[key] = value
    except (ValueError, RuntimeError) as error:  # TensorStore raises them if the disk is full, ...
        raise as_os_error(error) from None
    (state / TREE).write_text(json.dumps(description))


def _records(name: str, array: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Return the records of a zarr array (version 2): metadata, and one chunk with all values.

    `tensorstore.open(..., create=True)` would write them too, but takes 7 s instead of 1 s for a DANet-R50.
    """
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


def read_tree(state: Path) -> dict[tuple[str, ...], np.ndarray]:
    """Return every array of the directory `state` by path. Raise ValueError if it is incomplete or damaged."""
    import tensorstore

    try:
        description = parse_json(read_regular(state / TREE, TEXT_LIMIT))
        leaves = [
            tuple(str(part["key"]) for part in leaf["key_metadata"])
            for leaf in description["tree_metadata"].values()
            if not leaf["value_metadata"].get("skip_deserialize") and leaf["value_metadata"]["value_type"] != "string"
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
    """Raise ValueError for a path that occurs twice or leads out of the directory."""
    for leaf in leaves:
        if any(part in ("", ".", "..") or not set("/\\\0").isdisjoint(part) for part in leaf):
            raise ValueError(f"{'.'.join(leaf)[:100]!r} is not a valid name of an array")
    if len(set(leaves)) != len(leaves):
        raise ValueError("an array occurs twice")


def _location(state: Path, leaf: tuple[str, ...], description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the TensorStore spec of one array. A missing chunk is an error, not zeros."""
    name, files = ".".join(leaf), _files(state)
    if description.get("use_ocdbt", (state / DATABASE).is_file()):  # Orbax 0.11.17 to 0.11.30 writes no such key
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
    """Return TensorStore's error as an OSError; TensorStore quotes the system's error at the end of its text."""
    code = next((code for code in SYSTEM_ERRORS if os.strerror(code) in str(error)), None)
    return OSError(first_line(error)) if code is None else OSError(code, os.strerror(code))


def first_line(error: Exception) -> str:
    """Return the first line of TensorStore's error, which has many."""
    return str(error).partition("\n")[0][:200]
