"""Temporary files and folders beside a destination, and the removal of those that killed writers left.

A part of `x.npz` is `.x.npz.<digest>-<number>.part`. The digest is of the destination's full name, so no other file
has such a name by chance. Its writer holds a lock on the part, which ends with the process. The next writer of the
destination removes the parts without a lock. They stay on a file system without locks. They also stay on Windows,
which cannot rename an open file, so none is locked.
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

from danet_common.files.flags import flags
from danet_common.files.locks import HAS_LOCKS, has_identity, identity_of, lock, names_open, open_to_lock
from danet_common.files.unfinished import abandoned_by, uninterrupted

LEGIBLE = 50  # characters of the destination's name in a part's, which could be too long
DIGITS = 12  # hexadecimal, of the digest
PROBED = 16  # numbers that are always looked at; more writers of a destination at once are rare
TRIES, PAUSE = 20, 0.05  # seconds; threads of a library may still write into a folder that is being removed


def part_path(target: Path, number: int) -> Path:
    """Return the name of a part of a destination."""
    digest = hashlib.sha256(b"part of danet: " + os.fsencode(target.name)).hexdigest()[:DIGITS]
    return target.with_name(f".{target.name[:LEGIBLE]}.{digest}-{number}.part")


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove the parts of `path` that killed writers left, and none that a living process writes.

    A symbolic link is followed. A part without permission stays.
    """
    target = Path(os.path.realpath(path))
    for number in itertools.count() if target.name else ():
        part = part_path(target, number)
        if os.path.lexists(part):
            _remove_abandoned(part)
        elif number >= PROBED:
            return


@contextlib.contextmanager
def file_part(target: Path) -> Iterator[Path]:
    """Yield an empty file beside `target`, readable by this user only; it is removed unless it was moved."""
    with _part(target, _make_file) as path:
        yield path


@contextlib.contextmanager
def folder_part(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`, open to this user only; it is removed with its content."""
    with _part(target, _make_folder) as path:
        yield path


@contextlib.contextmanager
def _part(target: Path, make: Callable[[Path], int | None]) -> Iterator[Path]:
    remove_leftovers(target)
    with contextlib.ExitStack() as stack:
        with uninterrupted():
            path, descriptor = _claim(target, make)
            remove = partial(_remove, path, identity_of(path))
            if descriptor is not None:
                stack.callback(os.close, descriptor)
            stack.callback(remove)
            stack.enter_context(abandoned_by(remove))
        yield path


def _claim(target: Path, make: Callable[[Path], int | None]) -> tuple[Path, int | None]:
    """Make and lock a part with the first number that is free; return its path, and its descriptor if it is locked."""
    number = 0
    while True:
        path = part_path(target, number)
        number += 1
        with contextlib.suppress(FileExistsError):
            descriptor = make(path)
            if descriptor is None:
                return path, None
            lock(descriptor, wait=True)  # another process may be removing the part, which had no lock until now
            if names_open(path, descriptor):
                return path, descriptor
            os.close(descriptor)


def _make_file(path: Path) -> int | None:
    descriptor = os.open(path, flags("O_RDWR", "O_CREAT", "O_EXCL", "O_NOFOLLOW"), 0o600)
    if HAS_LOCKS:
        return descriptor
    os.close(descriptor)
    return None


def _make_folder(path: Path) -> int | None:
    path.mkdir(mode=0o700)
    if not HAS_LOCKS:
        return None
    try:
        return os.open(path, flags("O_RDONLY", "O_DIRECTORY", "O_NOFOLLOW"))
    except FileNotFoundError:  # another process took it for abandoned; another part may have the name now
        raise FileExistsError from None


def _remove_abandoned(path: Path) -> None:
    """Remove a file or folder with a part's name unless a process holds its lock."""
    with contextlib.suppress(OSError):
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            descriptor = open_to_lock(path)
            try:
                if lock(descriptor, wait=False):
                    status = os.fstat(descriptor)
                    _remove(path, (status.st_dev, status.st_ino))
            finally:
                os.close(descriptor)


def _remove(path: Path, identity: tuple[int, int]) -> None:
    """Remove a part with its content, also where folders in it are read-only.

    Another writer's part may have its name, but not its identity, which no other part gets while this one is open.
    """
    for attempt in range(TRIES):
        with contextlib.suppress(OSError):
            if not has_identity(path, identity):
                return
            if not path.is_dir():
                path.unlink()
                return
            for folder, _, _ in os.walk(path):
                Path(folder).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        time.sleep(PAUSE if attempt else 0)
