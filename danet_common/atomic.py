"""Replacing a file or directory so that a killed process leaves the old one or the new one, never a part of one."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from danet_common.unfinished import abandoned_by, uninterrupted

AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
RENAME_EXCHANGE = 2  # linux/fs.h
TRIES = 20
LEGIBLE = 50  # characters of the target's name in a temporary one, which must not be too long where that is not


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on any error it is removed.

    A symbolic link is followed, so the file it names is replaced. An existing file keeps its permissions.
    """
    target = _target(path)
    with contextlib.ExitStack() as abandoned:
        with _blaming(target), uninterrupted():
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:LEGIBLE]}.", suffix=".part")
            temporary = Path(name)
            abandoned.enter_context(abandoned_by(temporary.unlink))
        os.close(descriptor)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(_permissions(target, 0o666))  # last: a file that is only read could not be opened so
            with _blaming(target):
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside `path` that does not exist yet; the directory made there takes `path`'s place.

    On any error it is removed and an existing directory is left as it was. A symbolic link is followed.
    Raises NotADirectoryError where a file is in its place.
    """
    target = _target(path)
    if target.is_file():  # it could be exchanged as well, and would be removed as the old directory is
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    with contextlib.ExitStack() as abandoned:
        with _blaming(target), uninterrupted():
            workplace = tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:LEGIBLE]}.", suffix=".part")
            abandoned.enter_context(abandoned_by(partial(_remove_tree, workplace)))
        temporary = Path(workplace) / target.name
        try:
            yield temporary
            temporary.chmod(_permissions(target, 0o777))
            with uninterrupted():
                if target.exists():
                    _exchange(temporary, target)  # the old directory is now in the workplace, and goes with it
                else:
                    temporary.rename(target)
        finally:
            _remove_tree(workplace)


def _remove_tree(folder: str) -> None:
    """Remove a folder, in which a library's threads may still write."""
    for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return


def _target(path: str | os.PathLike[str]) -> Path:
    """What is replaced, links followed. Raises OSError where it is neither a file nor a directory: a device, a pipe."""
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and not target.is_file() and not target.is_dir():
        raise FileExistsError(errno.EEXIST, "is no ordinary file, and is not replaced", str(target))
    return target


@contextlib.contextmanager
def _blaming(target: Path) -> Iterator[None]:
    """Errors name the target, and not a temporary path that the user never heard of."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def _permissions(target: Path, default: int) -> int:
    """Those of an existing target, else what the umask leaves of `default`."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return default & ~umask


def _exchange(new: Path, old: Path) -> None:
    """Exchange two directories: in one step where the system can, else with a moment in which there is none."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is not None:
        done = rename(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(old), RENAME_EXCHANGE)
        if done == 0:
            return
    aside = new.with_name(f"{new.name}.old")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
