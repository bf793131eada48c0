"""Read and write the records of a zip archive, the container of torch, Keras and NumPy, with limits for zipfile.

Records are read on access; written records are uncompressed. The reader never extracts to a file. It still rejects
names that lead out of a folder, duplicate names and overlapping records: only an attacker writes them.
"""

from __future__ import annotations

import io
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

DIRECTORY_LIMIT = 8_000_000  # bytes of the central directory; a ResNet-152 with its optimizer has 300,000
ROOM = 1 << 26  # bytes that any archive may unpack to; beyond, MAXIMUM_EXPANSION times the stored bytes
MAXIMUM_EXPANSION = 100
LOCAL_HEADER = 30  # bytes before the name of a record
LONGEST = 200  # characters of an error of zipfile, which quotes names
CLAIMS = "claims to unpack to"
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


class MemoryFile(io.BytesIO):
    """Bytes in memory as an open file."""

    def __init__(self, data: Buffer) -> None:
        super().__init__(data)
        self.size = len(data)


class _Bounded:
    """File object for zipfile, which loads a central directory of any size; `limit` is the most bytes of a read."""

    def __init__(self, file: RegularFile | MemoryFile) -> None:
        self.seek, self.tell, self.seekable, self.file = file.seek, file.tell, file.seekable, file
        self.limit = DIRECTORY_LIMIT

    def read(self, size: int = -1) -> bytes:
        left = self.file.size - self.file.tell()
        if (left if size < 0 else min(size, left)) > self.limit:
            raise ValueError(f"its central directory is larger than {DIRECTORY_LIMIT // 1_000_000} MB")
        return self.file.read(size)


def open_zip(file: RegularFile | MemoryFile) -> zipfile.ZipFile:
    """Return a file as a zip archive. Raise one of ZIP_DAMAGE if it is not one."""
    bounded = _Bounded(file)
    archive = zipfile.ZipFile(bounded)
    bounded.limit = file.size
    return archive


class Archive:
    """A zip archive, open for reading. Raises CheckpointError if it is damaged."""

    def __init__(self, file: RegularFile | MemoryFile) -> None:
        try:
            self._zip = open_zip(file)
        except ZIP_DAMAGE as error:
            raise CheckpointError(f"zip archive is cut short or damaged: {error}") from None
        self._read: dict[str, np.ndarray] = {}
        entries = self._zip.infolist()
        self._entries = {entry.filename: entry for entry in entries}
        self.names = [*self._entries]
        if len(self._entries) != len(entries):
            raise CheckpointError("the archive has several records of one name; it is damaged")
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.header_offset < end or entry.volume:
                raise CheckpointError("records of the archive overlap; it is damaged")
            end = entry.header_offset + LOCAL_HEADER + entry.compress_size
            if end > file.size or (entry.compress_type == zipfile.ZIP_STORED and entry.compress_size < entry.file_size):
                raise CheckpointError(f"record {entry.filename!r} lies outside the archive; it is damaged")
            name = entry.orig_filename  # zipfile cuts `filename` at a zero byte
            if name.startswith("/") or ".." in name.split("/") or not name.isprintable() or "\\" in name:
                raise CheckpointError(f"the archive has a record {name!r}, which leads out of a folder")
            if entry.file_size > bound(entry.compress_size):
                raise CheckpointError(f"record {name!r} {CLAIMS} {entry.file_size} bytes; not read")
        total = sum(entry.file_size for entry in entries)
        if total > bound(file.size):
            raise CheckpointError(f"the archive {CLAIMS} {total} bytes; not read")

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str) -> np.ndarray:
        """Return a record's bytes, uint8 (n,), read-only and cached.

        Raise CheckpointError if the record is missing or damaged.
        """
        if name not in self._read:
            self._read[name] = np.frombuffer(self._bytes(name), np.uint8)
        return self._read[name]

    def _bytes(self, name: str) -> bytes:
        if name not in self._entries:
            raise CheckpointError(f"the archive has no record {name!r}; it is damaged or incomplete")
        entry = self._entries[name]
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile inflates others at once
            method = f"compressed by method {entry.compress_type}, not deflate"
            raise CheckpointError(f"record {name!r} is {method}")
        if entry.flag_bits & ENCRYPTED:
            raise CheckpointError(f"record {name!r} is encrypted. Decrypt the archive first")
        if not entry.CRC:
            entry.CRC = None  # type: ignore[assignment]  # torch writes 0 if it computes no checksums
        try:
            with self._zip.open(entry) as record:
                data = record.read(entry.file_size)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, struct.error, UnicodeDecodeError) as error:
            raise CheckpointError(f"record {name!r} is damaged: {str(error)[:LONGEST]}") from None
        if len(data) != entry.file_size:
            raise CheckpointError(f"record {name!r} does not unpack to the announced size")
        return data


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
                used = file.tell() + LOCAL_HEADER + len(name.encode()) + PADDING.size + size_fields
                padding = -used % alignment
                entry.extra = PADDING.pack(b"FB", padding) + b"Z" * padding
            with archive.open(entry, "w") as record:
                for chunk in chunks:
                    record.write(chunk)
