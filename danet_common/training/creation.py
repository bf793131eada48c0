"""A new run's folder: of several processes that make it at once, exactly 1 does, and a kill leaves no half of it.

The run's files are written into a folder within, then moved one by one. An empty folder that exists already is kept,
as a shell may be in it. If the process dies between two moves, the next process to look moves the rest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from danet_common.checkpoint.run_weights import LAST, PLAN
from danet_common.files.unfinished import abandoned_by, uninterrupted
from danet_common.training.lock import RunError, locked

STAGE = ".new-run.part"  # the folder within
ORDER = (LAST, "metrics.jsonl", "events", PLAN)  # of the moves: run.json says that all are done


@contextlib.contextmanager
def created(root: Path, fill: Callable[[Path], None]) -> Iterator[None]:
    """Make the folder of a run and keep other processes out of it. Raises RunError where another process is first.

    fill  makes a folder and the files of a new run in it, run.json last
    """
    target = Path(os.path.realpath(root))
    is_new = not target.is_dir()
    target.mkdir(parents=True, exist_ok=True)
    with locked(target, root):
        if any(target.iterdir()):
            raise _another(root)
        remove = partial(_remove, target / STAGE, target if is_new else None)
        with abandoned_by(remove):
            try:
                fill(target / STAGE)
            except BaseException:
                remove()
                raise
        _move(target / STAGE, target, root)
        yield


def finish(root: Path) -> None:
    """Move what a process that died while it made a new run left. Raises RunError where the process lives."""
    target = Path(os.path.realpath(root))
    stage = target / STAGE
    if not stage.is_dir():
        return
    with locked(target, root):
        if (stage / PLAN).exists():
            _move(stage, target, root)
        elif stage.is_dir():  # the process had not begun to move
            _remove(stage)


def _move(stage: Path, target: Path, root: Path) -> None:
    """Move the files in their order, each to where there is none."""
    with uninterrupted():
        for name in ORDER:
            if not (stage / name).exists():  # moved before
                continue
            if os.path.lexists(target / name):
                raise _another(root)
            (stage / name).rename(target / name)
        stage.rmdir()


def _remove(stage: Path, made: Path | None = None) -> None:
    """Remove the folder with the files that `fill` makes in it, and nothing else; then the folder `made` if empty."""
    for place in stage.iterdir() if stage.is_dir() else ():
        if place.name in ORDER or (place.name.startswith(".") and place.name.endswith(".part")):
            place.rmdir() if place.is_dir() else place.unlink()
    for folder in (stage, made):
        with contextlib.suppress(OSError):
            if folder is not None:
                folder.rmdir()


def _another(root: Path) -> RunError:
    return RunError(f"{root}: another process has begun a run there; give this run a folder of its own with --out")
