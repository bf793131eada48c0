"""Temporary files and folders beside a destination: their names, their locks, and what killed writers left.

A part of `x.npz` is `.x.npz.<digest>-<number>.part`. The digest is of the destination's whole name, so no other
file has such a name by chance. Its writer holds a lock (flock) on the part, which ends with the process: a part
without a lock is what a killed writer left, and the next writer of the destination removes it. A file system
without locks tells nobody which parts are left over; there they stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from danet_common.files.unfinished import abandoned_by, uninterrupted

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LEGIBLE = 50  # characters of the destination's name in a part's, which must not be too long where that is not
DIGITS = 12  # hexadecimal, of the digest
PROBED = 16  # numbers that are always looked at; more than as many writers of one destination are rare
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
TRIES, PAUSE = 20, 0.05  # seconds; threads of a library may still write into a folder that is being removed


class Part(NamedTuple):
    """A part that this process writes. `descriptor` holds its lock; None where the system has no locks."""

    path: Path
    identity: tuple[int, int]
    descriptor: int | None


def part_path(target: Path, number: int) -> Path:
    """Return the name of one part of a destination."""
    digest = hashlib.sha256(b"part of danet: " + os.fsencode(target.name)).hexdigest()[:DIGITS]
    return target.with_name(f".{target.name[:LEGIBLE]}.{digest}-{number}.part")


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed writers of `path` left beside it, and nothing that a living process writes.

    A symbolic link is followed. What may not be removed stays; that is no error.
    """
    target = Path(os.path.realpath(path))
    if os.name == "posix" and target.name:
        for number in itertools.count():
            part = part_path(target, number)
            if os.path.lexists(part):
                _remove_abandoned(part)
            elif number >= PROBED:
                return


@contextlib.contextmanager
def file_part(target: Path) -> Iterator[Path]:
    """Yield an empty file beside `target`, readable by this user only; it is removed unless it was moved."""
    with _claimed(target, _make_file, _remove_file) as path:
        yield path


@contextlib.contextmanager
def folder_part(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`, open to this user only; it is removed with all that is in it."""
    with _claimed(target, _make_folder, _remove_folder) as path:
        yield path


@contextlib.contextmanager
def _claimed(target: Path, make: Callable[[Path], int | None], remove: Callable[[Part], None]) -> Iterator[Path]:
    remove_leftovers(target)
    with contextlib.ExitStack() as stack:
        with uninterrupted():
            part = _claim(target, make)
            stack.callback(_release, part)
            stack.callback(remove, part)
            stack.enter_context(abandoned_by(partial(remove, part)))
        yield part.path


def _remove_file(part: Part) -> None:
    with contextlib.suppress(OSError):
        if identity_of(part.path) == part.identity:  # another writer may have the name by now
            part.path.unlink()


def _remove_folder(part: Part) -> None:
    _remove_tree(part.path, part.identity)


def identity_of(path: Path) -> tuple[int, int]:
    """Return device and inode of what has a name, links not followed."""
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file for this process alone; False where another has it, or where there are no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _claim(target: Path, make: Callable[[Path], int | None]) -> Part:
    """Make and lock a part with the first number that is free."""
    number = 0
    while True:
        path = part_path(target, number)
        try:
            descriptor = make(path)
        except FileExistsError:
            number += 1
            continue
        except _Removed:
            continue
        if descriptor is None:
            return Part(path, identity_of(path), None)
        try:
            lock(descriptor, wait=True)  # another process may be removing it, as it had no lock until now
            status = os.fstat(descriptor)
            part = Part(path, (status.st_dev, status.st_ino), descriptor)
            if os.path.lexists(path) and identity_of(path) == part.identity:
                return part
        except FileNotFoundError:
            pass
        except BaseException:  # an interruption; the next writer removes the part
            os.close(descriptor)
            raise
        os.close(descriptor)


class _Removed(Exception):
    """Another process removed a new part before it was locked."""


def _make_file(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
    if os.name == "posix":
        return descriptor
    os.close(descriptor)  # an open file can be neither moved nor removed there
    return None


def _make_folder(path: Path) -> int | None:
    path.mkdir(mode=0o700)
    if os.name != "posix":
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | NO_FOLLOW)
    except FileNotFoundError:
        raise _Removed from None


def _release(part: Part) -> None:
    if part.descriptor is not None:
        os.close(part.descriptor)


def _remove_abandoned(path: Path) -> None:
    """Remove a file or folder with a part's name unless a process holds its lock."""
    with contextlib.suppress(OSError):
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return
        descriptor = _open_to_lock(path, stat.S_ISREG(mode))
        try:
            status = os.fstat(descriptor)
            if lock(descriptor, wait=False) and identity_of(path) == (status.st_dev, status.st_ino):
                if stat.S_ISDIR(status.st_mode):
                    _remove_tree(path, (status.st_dev, status.st_ino))
                else:
                    path.unlink()
        finally:
            os.close(descriptor)


def _open_to_lock(path: Path, is_file: bool) -> int:
    """Open for a lock. A network's file system locks only what is open for writing, a file that is only read is not."""
    flags = NO_FOLLOW | os.O_NONBLOCK
    if is_file:
        with contextlib.suppress(PermissionError):
            return os.open(path, os.O_RDWR | flags)
    return os.open(path, os.O_RDONLY | flags)


def _remove_tree(path: Path, identity: tuple[int, int]) -> None:
    """Remove a folder that is open, and everything in it, also where folders in it are only read.

    As it is open, no other folder has its identity, though another writer's may have its name once it is gone.
    """
    for attempt in range(TRIES):
        with contextlib.suppress(OSError):
            if identity_of(path) != identity:
                return
            for folder, _, _ in os.walk(path):
                Path(folder).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        time.sleep(PAUSE if attempt and os.path.lexists(path) else 0)
