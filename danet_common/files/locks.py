"""Locks (flock) on files and folders; the system frees them when the process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from danet_common.files.unfinished import abandoned_by

FOLDER_LOCK = ".danet-writer.lock"


def lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file for this process; False where another process has it, or where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def open_to_lock(path: Path, flags: int = 0) -> int:
    """Open a file for writing, as a network's file system locks no other; a folder or a read-only file for reading."""
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK
    with contextlib.suppress(PermissionError, IsADirectoryError):
        return os.open(path, os.O_RDWR | flags, 0o666)
    return os.open(path, os.O_RDONLY | flags & ~os.O_CREAT)


def identity_of(path: Path) -> tuple[int, int]:
    """Return device and inode of a path, links not followed."""
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def names_open(path: Path, descriptor: int) -> bool:
    """True while the path names the open file; another process may remove it at any moment."""
    status = os.fstat(descriptor)
    try:
        return identity_of(path) == (status.st_dev, status.st_ino)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Wait until no other process of danet changes a set of files in the folder, and keep others waiting meanwhile.

    The lock is an empty file; its last holder removes it. A file system without locks keeps no process out.
    """
    path = folder / FOLDER_LOCK
    while True:
        descriptor = open_to_lock(path, os.O_CREAT)
        if not lock(descriptor, wait=True) or names_open(path, descriptor):
            break
        os.close(descriptor)  # its last holder has removed it
    remove = partial(_remove, path, descriptor)
    try:
        with abandoned_by(remove):
            yield
    finally:
        remove()
        os.close(descriptor)


def _remove(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size == 0 and names_open(path, descriptor):
            path.unlink()
