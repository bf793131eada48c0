"""Read and write the records of a zip archive, the container of torch, Keras and NumPy.

Records are read on access. Deflated records are inflated up to a limit. Written records are uncompressed.

The reader never extracts to a file. It still rejects an archive with names that lead out of a folder, duplicate
names or overlapping records: only an attacker makes one.
"""

from __future__ import annotations

import itertools
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from danet_common import CheckpointError
from danet_common.files.regular_file import RegularFile
from weights_convert.containers.file_bytes import FileBytes

DIRECTORY_LIMIT = 8_000_000  # bytes of the central directory; a ResNet-152 with its optimizer has 300,000
ROOM = 1 << 26  # bytes that any archive may unpack to; beyond, MAXIMUM_EXPANSION times the stored bytes
MAXIMUM_EXPANSION = 100
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of the name, length of the extra field
PADDING = struct.Struct("<2sH")  # an extra field: torch's tag "FB", length
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags of a record or of its name
ZIP_DAMAGE = (zipfile.BadZipFile, OSError, ValueError, OverflowError, struct.error, NotImplementedError, LookupError)
Buffer = bytes | memoryview


class Stream(NamedTuple):
    """Bytes to write, in chunks that are made one at a time."""

    size: int
    chunks: Iterable[Buffer]


def bound(stored: int) -> int:
    """Return the most bytes that `stored` bytes may unpack to. Trained weights hardly compress."""
    return max(ROOM, MAXIMUM_EXPANSION * stored)


class _Directory:
    """File object for zipfile with a limit on the central directory, which zipfile loads at any size."""

    def __init__(self, file: RegularFile) -> None:
        self.seek, self.tell, self.file = file.seek, file.tell, file

    def read(self, size: int = -1) -> bytes:
        left = self.file.size - self.file.tell()
        if (left if size < 0 else min(size, left)) > DIRECTORY_LIMIT:
            raise ValueError(f"its central directory is larger than {DIRECTORY_LIMIT // 1_000_000} MB")
        return self.file.read(size)


def directory_of(file: RegularFile) -> list[zipfile.ZipInfo]:
    """Return the records of a zip archive. Raise one of ZIP_DAMAGE if the file is not one."""
    with zipfile.ZipFile(_Directory(file)) as archive:
        return archive.infolist()


class Archive:
    """A zip archive, open for reading. Raises CheckpointError if it is damaged."""

    def __init__(self, path: str | os.PathLike[str], file: RegularFile) -> None:
        self.path = path
        self._bytes = FileBytes(file)
        try:
            entries = directory_of(file)
        except ZIP_DAMAGE as error:
            raise CheckpointError(f"{path}: zip archive is truncated or damaged: {error}") from None
        self._entries = {entry.filename: entry for entry in entries}
        self._check_names(entries)
        self._extents = {name: self._extent(name) for name in self._entries}
        self._check_overlaps()
        self._read: dict[str, np.ndarray] = {}
        self._inflated = 0  # bytes

    @property
    def names(self) -> list[str]:
        """Names of the records, in the order of the archive."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str) -> np.ndarray:
        """Return a record's bytes, uint8 (n,), cached. Raise CheckpointError if it is missing or damaged."""
        if name not in self._entries:
            raise CheckpointError(f"{self.path}: the archive has no record {name!r}; it is damaged or incomplete")
        if name not in self._read:
            self._read[name] = self._checked(self._entries[name])
        return self._read[name]

    def _checked(self, entry: zipfile.ZipInfo) -> np.ndarray:
        name = entry.filename
        start, end = self._extents[name]
        data = self._bytes[start:end]
        if entry.flag_bits & ENCRYPTED:
            raise CheckpointError(f"{self.path}: record {name!r} is encrypted. Decrypt the archive first")
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            data = self._inflate(entry, data)
        elif entry.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(
                f"{self.path}: record {name!r} is compressed by method {entry.compress_type}, not deflate"
            )
        # torch writes 0 if it computes no checksums.
        if entry.CRC and zlib.crc32(data.data) != entry.CRC:
            raise CheckpointError(f"{self.path}: record {name!r} is damaged: its CRC-32 does not match")
        return data

    def _extent(self, name: str) -> tuple[int, int]:
        """Return start and end of the record's stored bytes in the file."""
        entry = self._entries[name]
        header = self._bytes[entry.header_offset : entry.header_offset + LOCAL_HEADER.size].tobytes()
        if len(header) == LOCAL_HEADER.size:
            signature, name_length, extra_length = LOCAL_HEADER.unpack(header)
            start = entry.header_offset + LOCAL_HEADER.size + name_length + extra_length
            end = start + entry.compress_size
            whole = entry.compress_type != zipfile.ZIP_STORED or entry.compress_size == entry.file_size
            if signature == b"PK\x03\x04" and end <= self._bytes.size and whole and entry.volume == 0:
                return start, end
        raise CheckpointError(f"{self.path}: record {name!r} lies outside the archive; it is damaged")

    def _check_names(self, entries: list[zipfile.ZipInfo]) -> None:
        if len(entries) != len(self._entries):
            raise CheckpointError(f"{self.path}: the archive has several records of one name; it is damaged")
        for entry in entries:
            name = entry.orig_filename  # zipfile cuts `filename` at a zero byte
            if name.startswith("/") or ".." in name.split("/") or not name.isprintable() or "\\" in name:
                raise CheckpointError(f"{self.path}: the archive has a record {name!r}, which leads out of a folder")

    def _check_overlaps(self) -> None:
        extents = sorted((entry.header_offset, *self._extents[name]) for name, entry in self._entries.items())
        for (_, _, end), (following, _, _) in itertools.pairwise(extents):
            if following < end:
                raise CheckpointError(f"{self.path}: records of the archive overlap; it is damaged")

    def _inflate(self, entry: zipfile.ZipInfo, raw: np.ndarray) -> np.ndarray:
        self._inflated += entry.file_size
        if entry.file_size > bound(entry.compress_size) or self._inflated > bound(self._bytes.size):
            raise CheckpointError(
                f"{self.path}: record {entry.filename!r} claims to unpack from {entry.compress_size} to "
                f"{entry.file_size} bytes; not read"
            )
        try:
            # One byte more than announced, to notice a longer stream.
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw.data, entry.file_size + 1)
        except zlib.error as error:
            raise CheckpointError(f"{self.path}: record {entry.filename!r} is damaged ({error})") from None
        if len(data) != entry.file_size:
            raise CheckpointError(f"{self.path}: record {entry.filename!r} does not unpack to the announced size")
        return np.frombuffer(data, np.uint8)


def may_be_record(name: str) -> bool:
    """True if the name stays inside a folder and every unpacker keeps it as it is."""
    parts = name.split("/")
    return "" not in parts and not {".", ".."} & {*parts} and name.isprintable() and "\\" not in name


def raw_bytes(array: np.ndarray) -> Buffer:
    """Return an array's bytes in C order; a view if the array is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b""


def write_archive(
    path: str | os.PathLike[str], records: Iterable[tuple[str, Buffer | Stream]], alignment: int = 1
) -> None:
    """Write a zip archive of uncompressed records; equal records give equal bytes.

    alignment  bytes; each record's data start at a multiple of it, with torch's padding, so that mmap works
    """
    with Path(path).open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in records:
            size, chunks = data if isinstance(data, Stream) else (len(data), (data,))
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.file_size = size
            entry.external_attr = 0o644 << 16
            if alignment > 1:
                size_fields = 20 if size * 1.05 > zipfile.ZIP64_LIMIT else 0  # zipfile's own extra field
                used = file.tell() + LOCAL_HEADER.size + len(name.encode()) + PADDING.size + size_fields
                padding = -used % alignment
                entry.extra = PADDING.pack(b"FB", padding) + b"Z" * padding
            with archive.open(entry, "w") as record:
                for chunk in chunks:
                    record.write(chunk)
