"""Replacing a file or folder so that a killed process leaves the old one or the new one, never a part of one.

What may be replaced is a function's decision, a `Judge`: it is called with the path that something has already,
and raises where that must stay. Where nothing is there, nothing that appears meanwhile is replaced without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from danet_common.files.placing import exchange, rename_exclusively
from danet_common.files.temporary import file_part, folder_part, remove_leftovers
from danet_common.files.unfinished import uninterrupted

__all__ = ["Judge", "always", "atomic_directory", "atomic_file", "if_empty", "naming", "never", "remove_leftovers"]

Judge = Callable[[Path], None]


def always(target: Path) -> None:
    """Let a file be replaced, whatever it is."""


def never(target: Path) -> None:
    """Raise FileExistsError: what is there stays."""
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
    Raises what `replace` raises for an existing file, before the body runs and again when it is done; OSErrors
    of the body name `path`.
    """
    target = _target(path)
    _ask(replace, target)
    with contextlib.ExitStack() as stack:
        with naming(target):
            temporary = stack.enter_context(file_part(target))
        with naming(target, temporary):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(permissions(target, 0o666))  # last: a file that is only read could not be opened so
        place_file(temporary, target, replace)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str], replace: Judge = if_empty) -> Iterator[Path]:
    """Yield a path that does not exist yet; the folder made there takes `path`'s place.

    On any error it is removed and an existing folder is left as it was. A symbolic link is followed.
    Raises what `replace` raises for an existing folder, which it is asked about before the body runs, when that is
    done and, as files may come to it meanwhile, once more after the exchange; then the old folder is put back.
    Raises NotADirectoryError where a file is in its place; OSErrors of the body name `path`.
    """
    target = _target(path)
    _ask(replace, target)
    with contextlib.ExitStack() as stack:
        with naming(target):
            workplace = stack.enter_context(folder_part(target))
        temporary = workplace / target.name
        with naming(target, workplace):
            yield temporary
            temporary.chmod(permissions(target, 0o777))
        _place_folder(temporary, target, replace)


def place_file(new: Path, target: Path, replace: Judge) -> None:
    """Give a finished file its name; `replace` is asked about a file that has it. Raises OSError, naming `target`."""
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
        replace(target)  # says the same with the right path
        never(target)


def _ask(replace: Judge, target: Path) -> None:
    if os.path.lexists(target):
        replace(target)


def _target(path: str | os.PathLike[str]) -> Path:
    """What is replaced, links followed. Raises OSError where it is neither a file nor a folder: a device, a pipe."""
    target = Path(os.path.realpath(path))
    if os.path.lexists(target) and not target.is_file() and not target.is_dir():
        raise FileExistsError(errno.EEXIST, "is no regular file, and is not replaced", str(target))
    return target


@contextlib.contextmanager
def naming(target: Path, temporary: Path | None = None) -> Iterator[None]:
    """Make errors name the target, and not a temporary path that the user never heard of, nor no path at all.

    With `temporary`, an error that names another file than one in it stays as it is.
    """
    try:
        yield
    except OSError as error:
        if temporary is not None and error.filename is not None and not _within(error.filename, temporary):
            raise
        if error.errno is None:
            raise OSError(f"{target}: {error}") from None
        raise OSError(error.errno, error.strerror, str(target)) from None


def _within(name: object, temporary: Path) -> bool:
    return isinstance(name, str | os.PathLike) and Path(name).is_relative_to(temporary)


def permissions(target: Path, default: int) -> int:
    """Those of an existing target, else what the umask leaves of `default`."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return default & ~umask
