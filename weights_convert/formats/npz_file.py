"""NumPy archives: one entry for each tensor, by canonical name, and the manifest as UTF-8 bytes.

NumPy has no bfloat16: such tensors are kept as uint16 and listed under "bfloat16" in the manifest. Pickled
entries are refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from danet_common import Checkpoint, CheckpointError
from danet_common.atomic import atomic_file
from danet_common.checkpoint import PASSENGER, manifest
from weights_convert.archive import Archive, raw_bytes, write_archive
from weights_convert.contents import Contents
from weights_convert.pickled_arrays import native

NAME = "npz"
DIRECTORY = False
MANIFEST = "__manifest__"
ENDING = ".npy"
HEADER_LIMIT = 1 << 14  # bytes; NumPy writes 128
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def recognises(path: Path, start: bytes, records: list[str]) -> bool:
    """Whether this is a zip archive of arrays and nothing else."""
    return bool(records) and all(name.endswith(ENDING) for name in records)


def read(path: Path) -> Contents:
    """Read every entry. Raises CheckpointError where one is damaged or no plain array."""
    archive = Archive(path)
    arrays = {name.removesuffix(ENDING): _array(archive, name) for name in archive.names}
    if MANIFEST not in arrays:
        return Contents(tensors=arrays)
    text = _text(arrays.pop(MANIFEST))
    for name in _bfloat16_names(text):
        if name in arrays and arrays[name].dtype == np.uint16:
            arrays[name] = arrays[name].view(BFLOAT16)
    return Contents(
        tensors={name: array for name, array in arrays.items() if not name.startswith(PASSENGER)},
        passengers={name.removeprefix(PASSENGER): arrays[name] for name in arrays if name.startswith(PASSENGER)},
        manifest=text,
    )


def _array(archive: Archive, name: str) -> np.ndarray:
    """One entry as a view of the file. The header's shape is believed only if it is that of the bytes there."""
    record = archive.read(name)
    head = io.BytesIO(record[:HEADER_LIMIT].tobytes())
    try:
        version = np.lib.format.read_magic(head)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(head)
        if dtype.kind not in "biufU":
            raise ValueError(f"an array of {dtype}; only plain numbers are read, never pickles")
        flat = record[head.tell() :].view(dtype)
        return native(flat.reshape(shape, order="F" if fortran else "C"))
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"{archive.path}: entry {name} is damaged or no plain array: {error}") from None


def _text(array: np.ndarray) -> str:
    return str(array[()]) if array.dtype.kind == "U" else array.tobytes().decode("utf-8", "replace")


def _bfloat16_names(text: str) -> list[str]:
    try:
        names = json.loads(text).get("bfloat16", [])
        return [name for name in names if isinstance(name, str)]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []  # a damaged manifest: said when it is parsed as a whole


def write(checkpoint: Checkpoint, path: Path) -> tuple[str, ...]:
    """Write the archive, uncompressed. `numpy.load(path)` reads it."""
    arrays = {**checkpoint.tensors, **{PASSENGER + name: array for name, array in checkpoint.passengers.items()}}
    bfloat16 = [name for name, array in arrays.items() if array.dtype == BFLOAT16]
    text = json.dumps({**manifest(checkpoint), "bfloat16": bfloat16})
    arrays[MANIFEST] = np.frombuffer(text.encode(), np.uint8)
    with atomic_file(path) as temporary:
        write_archive(temporary, _records(arrays), alignment=np.lib.format.ARRAY_ALIGN)
    return ()


def _records(arrays: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name, array in arrays.items():
        plain = np.dtype(np.uint16) if array.dtype == BFLOAT16 else array.dtype
        head = io.BytesIO()
        header = {"shape": array.shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(plain)}
        np.lib.format.write_array_header_1_0(head, header)
        yield name + ENDING, b"".join([head.getvalue(), raw_bytes(array)])
