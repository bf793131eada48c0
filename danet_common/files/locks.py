"""Locks (flock) on files and folders; the system frees them when the process dies."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from danet_common.files.flags import flags
from danet_common.files.unfinished import abandoned_by

HAS_LOCKS = importlib.util.find_spec("fcntl") is not None  # not on Windows, which cannot rename open files either
UNFOLLOWED = ("O_NOFOLLOW", "O_NONBLOCK")
FOLDER_LOCK = ".danet-writer.lock"


def lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file for this process; False where another process has it, or where there are no locks."""
    if not HAS_LOCKS:
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def open_to_lock(path: Path, *more: str) -> int:
    """Open a file for writing, as a network's file system locks no other; a folder or a read-only file for reading."""
    with contextlib.suppress(PermissionError, IsADirectoryError):
        return os.open(path, flags("O_RDWR", *UNFOLLOWED, *more), 0o666)
    return os.open(path, flags("O_RDONLY", *UNFOLLOWED))


def identity_of(path: Path) -> tuple[int, int]:
    """Return device and inode of a path, links not followed."""
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def names_open(path: Path, descriptor: int) -> bool:
    """True while the path names the open file; another process may remove it at any moment."""
    status = os.fstat(descriptor)
    return has_identity(path, (status.st_dev, status.st_ino))


def has_identity(path: Path, identity: tuple[int, int]) -> bool:
    """True while the path exists and has this device and inode."""
    try:
        return identity_of(path) == identity
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Wait until no other process of danet changes a set of files in the folder, and keep others waiting meanwhile.

    The lock is an empty file; its last holder removes it. Windows, or a file system without locks, keeps none out.
    """
    if not HAS_LOCKS:
        yield
        return
    path = folder / FOLDER_LOCK
    while True:
        descriptor = open_to_lock(path, "O_CREAT")
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
