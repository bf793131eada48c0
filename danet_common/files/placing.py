"""Giving a finished file or folder its name: in one step, and never over what nobody agreed to replace."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path

AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2  # linux/fs.h
UNAVAILABLE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}  # of a flag: in this kernel or file system


def rename_exclusively(new: Path, target: Path) -> None:
    """Rename a file or folder. Raises FileExistsError, and moves nothing, where something has the name `target`."""
    if os.name != "posix":
        new.rename(target)  # replaces nothing there
    elif not _rename(new, target, RENAME_NOREPLACE):
        place = _place_folder if new.is_dir() else _place_file
        place(new, target)


def exchange(new: Path, old: Path) -> None:
    """Exchange two folders: in one step where the system can, else with a moment in which there is none."""
    if os.name == "posix" and _rename(new, old, RENAME_EXCHANGE):
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
    """Rename with a flag of Linux's renameat2; False where the system has none such. Raises OSError."""
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
    """Take the name with an empty folder, and rename over it, which fails where it is empty no more."""
    target.mkdir()
    try:
        new.rename(target)
    except OSError:
        with contextlib.suppress(OSError):
            target.rmdir()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
