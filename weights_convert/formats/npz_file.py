"""Read and write NumPy archives: one entry for each tensor by canonical name, and the manifest as UTF-8 bytes.

NumPy has no bfloat16. Such tensors are stored as uint16, and the manifest lists them under "bfloat16". The reader
rejects pickled entries.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from danet_common import Checkpoint, CheckpointError
from danet_common.checkpoint.canonical import EXTRA_TENSOR, manifest
from danet_common.files.atomic import Judge, always, atomic_file
from danet_common.files.strict_json import parse_json
from weights_convert.containers.pickled_arrays import is_plain, native
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.zip_archive import Archive, Stream, may_be_record, raw_bytes, write_archive
from weights_convert.contents import Contents, canonical_contents
from weights_convert.formats.flax_tree import from_flat

NAME = "npz"
MANIFEST = "__manifest__"
ENDING = ".npy"
MAGIC = b"\x93NUMPY"
LENGTH_SIZES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}  # bytes of the header's length, by version
HEADER_LIMIT = 1 << 14  # bytes; NumPy writes 128
# Header of numpy.lib.format, matched by a pattern; NumPy itself evaluates it.
HEADER = re.compile(
    r"\{'descr': '([<>|=](?:b1|[iu][1248]|f[248]|U[0-9]{1,9}))', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,19}L?(?:, ?|(?=\))))*)\),? ?\} *\n?"
)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def recognises(source: SourceFile) -> bool:
    """True for a zip archive with arrays only."""
    return bool(source.records) and all(name.endswith(ENDING) for name in source.records)


def read(source: SourceFile) -> Contents:
    """Read every entry. Raise CheckpointError if one is damaged or not a plain array."""
    archive = Archive(source.file)
    arrays = {name.removesuffix(ENDING): _array(archive, name) for name in archive.names}
    if MANIFEST not in arrays:
        return from_flat(arrays)
    text = _text(arrays.pop(MANIFEST))
    for name in _bfloat16_names(text):
        if name in arrays and arrays[name].dtype == np.uint16:
            arrays[name] = arrays[name].view(BFLOAT16)
    return canonical_contents(arrays, text)


def _array(archive: Archive, name: str) -> np.ndarray:
    """Return one entry. Raise CheckpointError unless its bytes match the shape in the header."""
    record = archive.read(name)
    try:
        dtype, fortran, shape, start = _header(record[:HEADER_LIMIT].tobytes())
        return native(record[start:].view(dtype).reshape(shape, order="F" if fortran else "C"))
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"entry {name} is damaged or not a plain array: {error}") from None


def _header(head: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """Return dtype, Fortran order, shape and data offset of an array in `.npy` format."""
    length_size = LENGTH_SIZES.get(head[6:8])
    if length_size is None or not head.startswith(MAGIC):
        raise ValueError("it has no header of a NumPy array")
    start = 8 + length_size
    size = int.from_bytes(head[8:start], "little")
    match = HEADER.fullmatch(head[start : start + size].decode("utf-8")) if start + size <= len(head) else None
    if match is None:
        raise ValueError("it does not hold plain numbers; pickles are never read")
    shape = tuple(int(number) for number in re.findall("[0-9]+", match[3]))
    return np.dtype(match[1]), match[2] == "True", shape, start + size


def _text(array: np.ndarray) -> str:
    try:
        return str(array.reshape(())) if array.dtype.kind == "U" else array.tobytes().decode("utf-8")
    except ValueError as error:
        raise CheckpointError(f"the manifest is not text: {error}") from None


def _bfloat16_names(text: str) -> list[str]:
    try:
        names = parse_json(text).get("bfloat16", [])
        return [name for name in names if isinstance(name, str)]
    except (ValueError, TypeError, AttributeError):
        return []  # the manifest is damaged; parsing it reports the error


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the archive, uncompressed. `numpy.load(path)` reads it."""
    arrays = {**checkpoint.tensors, **{EXTRA_TENSOR + name: array for name, array in checkpoint.extra_tensors.items()}}
    for name, array in arrays.items():
        if not is_plain(array) and array.dtype != BFLOAT16:
            raise CheckpointError(f"npz files cannot hold {name} of dtype {array.dtype}. Choose another with --dtype")
    bfloat16 = [name for name, array in arrays.items() if array.dtype == BFLOAT16]
    text = json.dumps({**manifest(checkpoint), "bfloat16": bfloat16})
    for name in arrays:
        if not may_be_record(name + ENDING):
            raise CheckpointError(f"npz files cannot hold {name!r}: the name leads out of a folder. Write .pth")
    arrays[MANIFEST] = np.frombuffer(text.encode(), np.uint8)
    with atomic_file(path, replace) as temporary:
        write_archive(temporary, _records(arrays), alignment=np.lib.format.ARRAY_ALIGN)
    return ()


def _records(arrays: dict[str, Any]) -> Iterator[tuple[str, Stream]]:
    for name, array in arrays.items():
        plain = np.dtype(np.uint16) if array.dtype == BFLOAT16 else array.dtype
        head = io.BytesIO()
        header = {"shape": array.shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(plain)}
        np.lib.format.write_array_header_1_0(head, header)
        start = head.getvalue()
        yield name + ENDING, Stream(len(start) + array.nbytes, (start, raw_bytes(array)))
