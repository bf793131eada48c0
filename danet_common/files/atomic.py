"""Replace a file or folder so that a killed process leaves the old one or the new one, never a part of it.

A `Judge` decides about replacing: it gets the path of an existing file or folder, and raises where that must stay.
Nothing that appears meanwhile is replaced without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from danet_common.files.placing import exchange, rename_exclusively
from danet_common.files.temporary import file_part, folder_part
from danet_common.files.unfinished import uninterrupted

Judge = Callable[[Path], None]


def always(target: Path) -> None:
    """Let any file be replaced."""


def never(target: Path) -> None:
    """Raise FileExistsError."""
    raise FileExistsError(errno.EEXIST, "exists already, and is not replaced", str(target))


def if_empty(target: Path) -> None:
    """Raise unless `target` is an empty folder: FileExistsError, or NotADirectoryError for a file."""
    entry = next(target.iterdir(), None)
    if entry is not None:
        raise FileExistsError(errno.EEXIST, f"holds {entry.name!r}, and is not replaced", str(target))


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str], replace: Judge = always) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on any error it is removed.

    A symbolic link is followed, so the file it names is replaced. An existing file keeps its permissions.
    `replace` is asked about an existing file before the body runs and after it. OSErrors of the body name `path`.
    """
    target = _target(path, replace)
    with contextlib.ExitStack() as stack:
        with naming(target):
            temporary = stack.enter_context(file_part(target))
        with naming(target, temporary):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(permissions(target, 0o666))  # last: a read-only file could not be opened so
        place_file(temporary, target, replace)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str], replace: Judge = if_empty) -> Iterator[Path]:
    """Yield a path that does not exist yet; the folder made there takes `path`'s place.

    On any error it is removed and an existing folder stays. A symbolic link is followed. `replace` is asked about an
    existing folder before the body runs and after it. As files may appear meanwhile, it is asked once more after the
    exchange; if it raises then, the old folder is put back. OSErrors of the body name `path`.
    Raises NotADirectoryError where a file is in its place.
    """
    target = _target(path, replace)
    with contextlib.ExitStack() as stack:
        with naming(target):
            part = stack.enter_context(folder_part(target))
        temporary = part / target.name
        with naming(target, part):
            yield temporary
            temporary.chmod(permissions(target, 0o777))
        _place_folder(temporary, target, replace)


def place_file(new: Path, target: Path, replace: Judge) -> None:
    """Give a finished file its name; `replace` is asked about an existing file. Raises OSError, naming `target`."""
    with naming(target, new), uninterrupted():
        if replace is not always:
            try:
                rename_exclusively(new, target)
                return
            except FileExistsError:
                replace(target)
        os.replace(new, target)


def _place_folder(new: Path, target: Path, replace: Judge) -> None:
    with naming(target, new):
        try:
            if replace is never:
                rename_exclusively(new, target)
            else:
                new.rename(target)  # replaces nothing but an empty folder
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or replace is never:
                raise
    replace(target)
    with naming(target, new):
        exchange(new, target)
    try:
        replace(new)  # the old folder
    except BaseException:
        with naming(target, new):
            exchange(new, target)
        replace(target)  # raises the same with the right path
        never(target)


def _target(path: str | os.PathLike[str], replace: Judge) -> Path:
    """Return the path without links. Raises what `replace` raises, and OSError for a device or a pipe."""
    target = Path(os.path.realpath(path))
    if os.path.lexists(target):
        if not target.is_file() and not target.is_dir():
            raise FileExistsError(errno.EEXIST, "is no regular file, and is not replaced", str(target))
        replace(target)
    return target


@contextlib.contextmanager
def naming(target: Path, temporary: Path | None = None) -> Iterator[None]:
    """Make errors name the target, not a temporary path that the user does not know, nor no path at all.

    With `temporary`, an error that names a file outside it stays.
    """
    try:
        yield
    except OSError as error:
        name = error.filename
        inside = isinstance(name, str | os.PathLike) and temporary is not None and Path(name).is_relative_to(temporary)
        if temporary is not None and name is not None and not inside:
            raise
        if error.errno is None:
            raise OSError(f"{target}: {error}") from None
        raise OSError(error.errno, error.strerror, str(target)) from None


def permissions(target: Path, default: int) -> int:
    """Return the permissions of an existing target, else those of `default` that the umask leaves."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return default & ~umask
