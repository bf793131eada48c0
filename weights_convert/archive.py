"""The records of a zip archive as bytes of the mapped file.

torch, Keras and NumPy all keep weights in zip archives, nearly always stored without compression. A
stored record is returned as a view of the memory-mapped file, so reading it takes no memory of its own;
a deflated one is inflated when it is asked for, within a bound. Written records are always stored.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import CheckpointError

LARGE = 1 << 30  # bytes; beyond it nothing may unpack to more than MAXIMUM_EXPANSION times what is stored
MAXIMUM_EXPANSION = 100
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of the name, length of the extra field
PADDING = struct.Struct("<2sH")  # an extra field: "FB" as torch calls it, its length
Buffer = bytes | memoryview


def bound(stored: int) -> int:
    """The most bytes that so many stored bytes may unpack to. Trained weights hardly shrink at all."""
    return max(LARGE, MAXIMUM_EXPANSION * stored)


def map_file(path: str | os.PathLike[str]) -> np.ndarray:
    """The file's bytes, read-only and read on demand; uint8. An empty file gives an empty array."""
    if Path(path).stat().st_size == 0:
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, mode="r"))


class Archive:
    """A zip archive. Raises CheckpointError where it is damaged."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as file:
                self._entries = {entry.filename: entry for entry in file.infolist()}
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as error:
            raise CheckpointError(f"{path}: a zip archive that is cut short or damaged ({error})") from None
        self._bytes = map_file(path)

    @property
    def names(self) -> list[str]:
        """Names of the records, in the order of the archive."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str) -> np.ndarray:
        """A record's bytes, uint8 (n,): a view of the file where it is stored, a new array where it is deflated."""
        if name not in self._entries:
            raise CheckpointError(f"{self.path}: the archive has no record {name!r}; it is damaged or incomplete")
        entry = self._entries[name]
        start, end = self.extent(name)
        raw = self._bytes[start:end]
        if entry.flag_bits & 0x1:
            raise CheckpointError(f"{self.path}: record {name!r} is encrypted; decrypt the archive first")
        if entry.compress_type == zipfile.ZIP_STORED:
            return raw
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            return self._inflate(entry, raw)
        raise CheckpointError(
            f"{self.path}: record {name!r} is compressed by method {entry.compress_type}, not deflate"
        )

    def extent(self, name: str) -> tuple[int, int]:
        """Where in the file the record's (possibly compressed) bytes start and end."""
        entry = self._entries[name]
        header = self._bytes[entry.header_offset : entry.header_offset + LOCAL_HEADER.size].tobytes()
        if len(header) == LOCAL_HEADER.size:
            signature, name_length, extra_length = LOCAL_HEADER.unpack(header)
            start = entry.header_offset + LOCAL_HEADER.size + name_length + extra_length
            end = start + entry.compress_size
            whole = entry.compress_type != zipfile.ZIP_STORED or entry.compress_size == entry.file_size
            if signature == b"PK\x03\x04" and end <= self._bytes.size and whole:
                return start, end
        raise CheckpointError(f"{self.path}: record {name!r} lies outside the archive; it is damaged")

    def _inflate(self, entry: zipfile.ZipInfo, raw: np.ndarray) -> np.ndarray:
        if entry.file_size > bound(entry.compress_size):
            raise CheckpointError(
                f"{self.path}: record {entry.filename!r} claims to unpack from {entry.compress_size} to "
                f"{entry.file_size} bytes; not read"
            )
        try:
            # One byte more than announced is allowed for, so that a longer stream is noticed.
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw.tobytes(), entry.file_size + 1)
        except zlib.error as error:
            raise CheckpointError(f"{self.path}: record {entry.filename!r} is damaged ({error})") from None
        if len(data) != entry.file_size:
            raise CheckpointError(f"{self.path}: record {entry.filename!r} unpacks to another size than announced")
        return np.frombuffer(data, np.uint8)


class BytesFile(io.RawIOBase):
    """Bytes, uint8 (n,), as a file that is open for reading; without a copy of them."""

    def __init__(self, data: np.ndarray) -> None:
        self._data = data.data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        part = self._data[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)


def raw_bytes(array: np.ndarray) -> Buffer:
    """An array's bytes in C order; a view where the array is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b""


def write_archive(path: str | os.PathLike[str], records: Iterable[tuple[str, Buffer]], alignment: int = 1) -> None:
    """Write a zip archive of stored records; the same records always give the same bytes.

    alignment  of each record's first byte in the file, so that it can be mapped; torch's own padding is copied
    """
    with Path(path).open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in records:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.file_size = len(data)
            entry.external_attr = 0o644 << 16
            if alignment > 1:
                size_fields = 20 if len(data) * 1.05 > zipfile.ZIP64_LIMIT else 0  # zipfile's own extra field
                used = file.tell() + LOCAL_HEADER.size + len(name.encode()) + PADDING.size + size_fields
                padding = -used % alignment
                entry.extra = PADDING.pack(b"FB", padding) + b"Z" * padding
            with archive.open(entry, "w") as record:
                record.write(data)
