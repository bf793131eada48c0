"""Reading several files as one: what they were before and after says whether another process exchanged them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from danet_common.checkpoint import CheckpointError
from danet_common.files.regular_file import RegularFile

TRIES = 50
LONGEST_WAIT = 0.05  # seconds, between two tries; all together take at most 2.5 s

Result = TypeVar("Result")
Marks = tuple[tuple[int, ...] | None, ...]


def read_unchanged(paths: Sequence[Path], attempt: Callable[[], Result], whole: bool = True) -> Result:
    """Return what `attempt` returns, made again where one of `paths` was exchanged while it worked.

    whole  False where an attempt that succeeds is whole whatever happened meanwhile: it holds all files open

    Raises what `attempt` raises where the files are as they were, and CheckpointError where they never rest.
    """
    for number in range(TRIES):
        before = _marks(paths)
        try:
            result = attempt()
        except (CheckpointError, OSError):
            if _marks(paths) == before:
                raise
        else:
            if not whole or _marks(paths) == before:
                return result
        time.sleep(min(LONGEST_WAIT, 0.001 * 2**number))
    raise CheckpointError(f"{paths[0]}: was replaced again and again while it was read; try again later")


def _marks(paths: Sequence[Path]) -> Marks:
    """What tells a file or folder from the one that takes its place: not the inode alone, which is used again."""
    marks: list[tuple[int, ...] | None] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size))
    return tuple(marks)


def is_unchanged(path: Path, file: RegularFile) -> bool:
    """True where `path` still names the file that is open. It cannot be another of its inode while it is open."""
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == file.key
