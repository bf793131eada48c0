"""Open a checkpoint's file or folder once: detection and reading share one descriptor."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from danet_common import CheckpointError
from danet_common.files.regular_file import WEIGHTS, RegularFile, open_regular
from weights_convert.containers.zip_archive import ZIP_DAMAGE, open_zip

START = 64  # bytes
LARGE = 1 << 14  # bytes; smaller parts come from the buffer of the file


class FileBytes:
    """An open file, indexed like a byte array; `self[start:end]` returns a new array, uint8 (n,).

    We do not use mmap: if another process truncates a mapped file, SIGBUS kills this process.
    """

    def __init__(self, file: RegularFile) -> None:
        self.file, self.size = file, file.size

    def __getitem__(self, part: slice) -> np.ndarray:
        start, end, _ = part.indices(self.size)
        if end - start >= LARGE:
            return self.file.read_at(start, end - start)
        self.file.seek(start)
        return np.frombuffer(bytearray(self.file.read(max(0, end - start))), np.uint8)


@dataclass
class SourceFile:
    """An open file, or a folder (`regular` is None).

    start    first bytes of the file
    records  names in a zip archive; [] for any other file
    """

    path: Path
    regular: RegularFile | None = None
    start: bytes = b""
    records: list[str] = field(default_factory=list)

    @property
    def is_folder(self) -> bool:
        """True for a folder."""
        return self.regular is None

    @property
    def file(self) -> RegularFile:
        """Open file. Raises CheckpointError for a folder."""
        if self.regular is None:
            raise CheckpointError(f"{self.path}: is a folder, not a file")
        return self.regular

    @property
    def data(self) -> FileBytes:
        """Bytes of the file, read on access."""
        return FileBytes(self.file)

    def close(self) -> None:
        """Close the file."""
        if self.regular is not None:
            self.regular.close()


def open_source(path: Path) -> SourceFile:
    """Open a file or a folder. Raise CheckpointError if it is missing, special or unreadable."""
    try:
        if path.is_dir():
            return SourceFile(path)
        file = open_regular(path, WEIGHTS)
        source = SourceFile(path, file, file.read_at(0, min(START, file.size)).tobytes())
        with contextlib.suppress(*ZIP_DAMAGE):
            source.records = open_zip(file).namelist()
        return source
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
