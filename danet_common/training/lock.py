"""A run's folder belongs to one process at a time; the system frees the lock when the process dies."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from danet_common.files.locks import HAS_LOCKS

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # a file system without locks


class RunError(ValueError):
    """A run that cannot be started or resumed. The text is meant for the user."""


@contextmanager
def locked(folder: Path, title: Path) -> Iterator[None]:
    """Lock a folder itself, not a file in it, which would be replaced. Raises RunError where it is locked already.

    A file system without locks, or Windows, keeps no process out.
    """
    if not HAS_LOCKS:
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{title}: another process is training this run") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise RunError(f"{title}: cannot lock the folder: {error.strerror}") from None
        yield
    finally:
        os.close(descriptor)
