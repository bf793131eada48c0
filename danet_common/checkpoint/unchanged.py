"""Read several files as one: repeat where another process replaces one of them meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from danet_common.checkpoint.canonical import CheckpointError
from danet_common.files.regular_file import RegularFile

TRIES = 50
LONGEST_WAIT = 0.05  # seconds, between two tries; all together take at most 2.5 s

Result = TypeVar("Result")


def read_unchanged(paths: Sequence[Path], attempt: Callable[[], Result], recheck: bool = True) -> Result:
    """Return the result of `attempt`, which is repeated where one of `paths` was replaced meanwhile.

    recheck  False where a successful attempt is always consistent, because it holds all files open

    Raises what `attempt` raises on unchanged files, and CheckpointError where they change at each try.
    """
    for number in range(TRIES):
        before = _marks(paths)
        try:
            result = attempt()
        except (CheckpointError, OSError):
            if _marks(paths) == before:
                raise
        else:
            if not recheck or _marks(paths) == before:
                return result
        time.sleep(min(LONGEST_WAIT, 0.001 * 2**number))
    raise CheckpointError(f"{paths[0]}: was replaced again and again while it was read; try again later")


def _marks(paths: Sequence[Path]) -> dict[Path, tuple[int, ...]]:
    """Return the marks of files that differ after a replacement: not inodes alone, which are used again."""
    marks: dict[Path, tuple[int, ...]] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.stat()
            marks[path] = (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size)
    return marks


def is_unchanged(path: Path, file: RegularFile) -> bool:
    """True if `path` still names the open file, whose inode no other file can have."""
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == file.key
