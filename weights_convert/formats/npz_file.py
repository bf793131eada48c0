"""NumPy archives: one entry for each tensor, by canonical name, and the manifest as UTF-8 bytes.

NumPy has no bfloat16: such tensors are kept as uint16 and listed under "bfloat16" in the manifest. Pickled
entries are refused.
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
from danet_common.atomic import Judge, always, atomic_file
from danet_common.checkpoint import EXTRA_TENSOR, manifest
from danet_common.leaves import FLAX
from danet_common.strict_json import parse_json
from weights_convert.containers.pickled_arrays import is_plain, native
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.zip_archive import Archive, Stream, may_be_record, raw_bytes, write_archive
from weights_convert.contents import Contents
from weights_convert.formats.flax_tree import from_leaves

NAME = "npz"
DIRECTORY = False
MANIFEST = "__manifest__"
ENDING = ".npy"
SLASH = "/"
MAGIC = b"\x93NUMPY"
LENGTH_SIZES = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}  # bytes of the header's length, by version
HEADER_LIMIT = 1 << 14  # bytes; NumPy writes 128
# As numpy.lib.format writes it. It is matched and not evaluated, though NumPy itself would.
HEADER = re.compile(
    r"\{'descr': '([<>|=](?:b1|[iu][1248]|f[248]|U[0-9]{1,9}))', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,19}L?(?:, ?|(?=\))))*)\),? ?\} *\n?"
)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def recognises(source: SourceFile) -> bool:
    """Whether this is a zip archive of arrays and nothing else."""
    return bool(source.records) and all(name.endswith(ENDING) for name in source.records)


def read(source: SourceFile) -> Contents:
    """Read every entry. Raises CheckpointError where one is damaged or no plain array."""
    archive = Archive(source.path, source.file)
    arrays = {name.removesuffix(ENDING): _array(archive, name) for name in archive.names}
    if MANIFEST not in arrays:
        return _foreign(arrays)
    text = _text(archive, arrays.pop(MANIFEST))
    for name in _bfloat16_names(text):
        if name in arrays and arrays[name].dtype == np.uint16:
            arrays[name] = arrays[name].view(BFLOAT16)
    return Contents(
        tensors={name: array for name, array in arrays.items() if not name.startswith(EXTRA_TENSOR)},
        extra_tensors={
            name.removeprefix(EXTRA_TENSOR): arrays[name] for name in arrays if name.startswith(EXTRA_TENSOR)
        },
        manifest=text,
    )


def _foreign(arrays: dict[str, np.ndarray]) -> Contents:
    """Another program's arrays: the keys of nested dictionaries may be joined by slashes, and a Flax tree's are."""
    paths = {tuple(name.split(SLASH)): array for name, array in arrays.items()}
    if any(path[-1] == FLAX["kernel"] for path in paths):
        return from_leaves(paths)
    tensors = {".".join(path): array for path, array in paths.items()}
    if len(tensors) < len(arrays):
        raise CheckpointError("two arrays have one name, once with dots and once with slashes")
    return Contents(tensors=tensors)


def _array(archive: Archive, name: str) -> np.ndarray:
    """One entry. The header's shape is believed only if it is that of the bytes there."""
    record = archive.read(name)
    try:
        dtype, fortran, shape, start = _header(record[:HEADER_LIMIT].tobytes())
        return native(record[start:].view(dtype).reshape(shape, order="F" if fortran else "C"))
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"{archive.path}: entry {name} is damaged or no plain array: {error}") from None


def _header(head: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    """dtype, whether in Fortran order, shape and first byte of an array in `.npy` form."""
    length_size = LENGTH_SIZES.get(head[6:8])
    if length_size is None or not head.startswith(MAGIC):
        raise ValueError("it does not open as an array of NumPy's")
    start = 8 + length_size
    size = int.from_bytes(head[8:start], "little")
    match = HEADER.fullmatch(head[start : start + size].decode("utf-8")) if start + size <= len(head) else None
    if match is None:
        raise ValueError("only plain numbers are read, never pickles")
    shape = tuple(int(number) for number in re.findall("[0-9]+", match[3]))
    return np.dtype(match[1]), match[2] == "True", shape, start + size


def _text(archive: Archive, array: np.ndarray) -> str:
    try:
        return str(array.reshape(())) if array.dtype.kind == "U" else array.tobytes().decode("utf-8")
    except ValueError as error:
        raise CheckpointError(f"{archive.path}: the manifest is no text: {error}") from None


def _bfloat16_names(text: str) -> list[str]:
    try:
        names = parse_json(text).get("bfloat16", [])
        return [name for name in names if isinstance(name, str)]
    except (ValueError, TypeError, AttributeError):
        return []  # a damaged manifest: said when it is parsed as a whole


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the archive, uncompressed. `numpy.load(path)` reads it."""
    arrays = {**checkpoint.tensors, **{EXTRA_TENSOR + name: array for name, array in checkpoint.extra_tensors.items()}}
    for name, array in arrays.items():
        if not is_plain(array) and array.dtype != BFLOAT16:
            raise CheckpointError(f"an npz file has no dtype for {name}, which is {array.dtype}")
    bfloat16 = [name for name, array in arrays.items() if array.dtype == BFLOAT16]
    text = json.dumps({**manifest(checkpoint), "bfloat16": bfloat16})
    for name in arrays:
        if not may_be_record(name + ENDING):
            raise CheckpointError(f"an npz file has no place for {name!r}, a name that leads out of it; write .pth")
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
