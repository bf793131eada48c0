"""Give a finished file or folder its name in one step, without replacing what must stay."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from pathlib import Path

AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2  # linux/fs.h
UNAVAILABLE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}  # the kernel or file system lacks the flag


def rename_exclusively(new: Path, target: Path) -> None:
    """Rename a file or folder. Raises FileExistsError, and moves nothing, where the name `target` is taken."""
    if _rename(new, target, RENAME_NOREPLACE):
        return
    if sys.platform == "win32":
        new.rename(target)  # replaces nothing on Windows
        return
    if new.is_dir():
        _place_folder(new, target)
    else:
        _place_file(new, target)


def exchange(new: Path, old: Path) -> None:
    """Exchange two folders: in one step where the system can, else with a moment without `old`."""
    if _rename(new, old, RENAME_EXCHANGE):
        return
    aside = new.with_name(f"{new.name}.old")
    old.rename(aside)
    try:
        new.rename(old)
    except BaseException:
        aside.rename(old)
        raise
    aside.rename(new)


def _rename(new: Path, target: Path, flag: int) -> bool:
    """Rename by Linux's renameat2 with a flag; False where the system lacks it. Raises OSError."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(target), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNAVAILABLE:
        return False
    raise OSError(code, os.strerror(code), str(new), None, str(target))


def _place_file(new: Path, target: Path) -> None:
    """Link a file into place, which replaces nothing; without links, take the name with an empty file first."""
    try:
        os.link(new, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(new, target)
    else:
        new.unlink()


def _place_folder(new: Path, target: Path) -> None:
    """Take the name with an empty folder, and rename over it, which fails where it is no longer empty."""
    target.mkdir()
    try:
        new.rename(target)
    except OSError:
        with contextlib.suppress(OSError):
            target.rmdir()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
