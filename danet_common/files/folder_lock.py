"""Letting one process at a time change a set of files that belong together, in one folder."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from danet_common.files.temporary import NO_FOLLOW, identity_of, lock
from danet_common.files.unfinished import abandoned_by

LOCK = ".danet-writer.lock"


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Wait until no other process of danet changes a set in the folder, and keep others waiting meanwhile.

    The lock ends with the process; its empty file is removed by the last that had it. A file system without locks
    keeps nobody out, nor does Windows.
    """
    if os.name != "posix":
        yield
        return
    path = folder / LOCK
    descriptor = _hold(path)
    try:
        with abandoned_by(partial(_remove, path, descriptor)):
            yield
    finally:
        _remove(path, descriptor)
        os.close(descriptor)


def _remove(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_size == 0 and _same(path, descriptor):
            path.unlink()


def _hold(path: Path) -> int:
    """Open and lock the file; again where the process that had it has removed it."""
    while True:
        descriptor = _open(path)
        try:
            if not lock(descriptor, wait=True) or _same(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open the file, made if absent. A network's file system locks only what is open for writing."""
    with contextlib.suppress(PermissionError):  # another user's
        return os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
    return os.open(path, os.O_RDONLY | NO_FOLLOW | os.O_NONBLOCK)


def _same(path: Path, descriptor: int) -> bool:
    """True while the path names the open file; another process may remove it at any moment."""
    status = os.fstat(descriptor)
    try:
        return identity_of(path) == (status.st_dev, status.st_ino)
    except FileNotFoundError:
        return False
