"""Open files for reading, safely, and limit the size of each kind of file.

Opening a named pipe waits for a writer, and a device may be endless. If a memory-mapped file is cut short, its reader
dies by SIGBUS. So a file is opened without waiting, and must be a regular file of at most its kind's size. It is
read by position, up to its size at opening.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from danet_common.files.flags import flags

FLAGS = flags("O_RDONLY", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY")  # a named pipe opens at once, and is then refused
READ_AT_ONCE = 1 << 30  # bytes; Linux reads less than 2 GiB a call
COPIED_AT_ONCE = 1 << 24  # bytes, on Windows
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

_seeking = threading.Lock()  # on Windows threads share the position of a descriptor


class Limit(NamedTuple):
    """The largest size of a kind of file, in bytes, and the kind's name in the error."""

    size: int
    kind: str


SETTINGS = Limit(1_000_000, "a file of settings")  # config.json, run.json: 20 KB with 1000 classes
LIST = Limit(100_000_000, "a list of names")  # 1 million names of 100 letters
METRICS = Limit(256_000_000, "metrics.jsonl")  # 1 million lines of 250 bytes; a run of 80000 steps has 20 MB
REPORT = Limit(100_000_000, "a report")  # check.json: 2 MB for three backends
PROGRAM = Limit(1_000_000, "an adapter")  # 25000 lines of Python
IMAGE = Limit(4_294_967_296, "an image")  # 4 GiB: the offsets of a TIFF have 32 bits
WEIGHTS = Limit(8_000_000_000, "a file of weights")  # 3 times a ResNet-152's training state in float64


class RegularFileError(OSError):
    """Not a regular file, too large, or cut short. Its text is the reason alone."""

    def __str__(self) -> str:
        return str(self.strerror)


class RegularFile(io.BufferedReader):
    """A regular file, open for reading.

    path  for messages
    size  bytes, when the file was opened; `read` ends there although the file grows
    key   device and inode: equal for two names of a file

    Reading raises OSError where the file was cut short.
    """

    def __init__(self, descriptor: int, path: str, status: os.stat_result) -> None:
        super().__init__(_Positions(descriptor, path, status.st_size))
        self.path = path
        self.size = status.st_size
        self.key = (status.st_dev, status.st_ino)
        self.status = status
        self.descriptor = descriptor  # for locks; `fileno` would have libtiff map the file

    def read_at(self, start: int, size: int) -> np.ndarray:
        """Return `size` bytes from byte `start` as a new uint8 array; threads may share the file."""
        if start < 0 or size < 0 or start + size > self.size:
            raise RegularFileError(errno.EINVAL, f"has no {size} bytes at byte {start}", self.path)
        array = np.empty(size, np.uint8)
        fill(self.descriptor, array.data, start, self.path)
        return array


class _Positions(io.RawIOBase):
    """A descriptor as a stream with its own position, without `fileno`, by which libtiff would map the file."""

    def __init__(self, descriptor: int, path: str, size: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        size = min(len(view), max(0, self._size - self._position))
        fill(self._descriptor, view[:size], self._position, self._path)
        self._position += size
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence] + offset
        if position < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self._path)
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def open_regular(path: str | os.PathLike[str], limit: Limit) -> RegularFile:
    """Open a regular file for reading, at once. Close it, or use it in a `with` statement.

    Raises OSError, with the reason in `strerror`, for all else than a regular file, and for a file above the limit.
    """
    name = os.fspath(path)
    _require_regular(Path(name).stat(), name)  # before it is opened: opening a device may act on it
    descriptor = os.open(name, FLAGS)
    try:
        status = os.fstat(descriptor)
        _require_regular(status, name)
        if status.st_size > limit.size:
            largest = f"{limit.size // 1_000_000:,} MB, the limit for {limit.kind}"
            raise RegularFileError(errno.EFBIG, f"is larger than {largest}", name)
        return RegularFile(descriptor, name, status)
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], limit: Limit) -> bytes:
    """Return the bytes of a regular file. Raises OSError as `open_regular` does."""
    with open_regular(path, limit) as file:
        return file.read()


def read_text(path: str | os.PathLike[str], limit: Limit, encoding: str = "utf-8") -> str:
    """Return the text of a regular file, its lines ended by "\\n". Raises OSError, or UnicodeDecodeError."""
    text = read_regular(path, limit).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def fill(descriptor: int, view: memoryview, start: int, path: str) -> None:
    """Fill `view` from byte `start` of an open file. Raises OSError where the file ends before that."""
    done = 0
    while done < len(view):
        count = _read(descriptor, view[done : done + READ_AT_ONCE], start + done)
        if count == 0:
            raise RegularFileError(errno.EIO, "was cut short while it was read", path)
        done += count


def _read(descriptor: int, view: memoryview, start: int) -> int:
    """Read into `view` from byte `start`; return the number of bytes read."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], start)
    with _seeking:  # Windows
        os.lseek(descriptor, start, os.SEEK_SET)
        data = os.read(descriptor, min(len(view), COPIED_AT_ONCE))
    view[: len(data)] = data
    return len(data)


def _require_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        code = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        raise RegularFileError(code, f"is {kind}, not a regular file", name)
