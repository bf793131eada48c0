"""A new run's folder: of several processes that make it at once, exactly one does, and a kill leaves no half of it.

An absent folder is made beside its place and renamed, which fails where there is another by then. A folder that is
there and empty is kept, as a shell may be in it: the run's files are made in a folder within, then moved one by one.
A process that dies between two moves leaves the rest there, and the next one to look moves it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from danet_common.checkpoint.run_weights import LAST, PLAN
from danet_common.files.temporary import folder_part
from danet_common.files.unfinished import abandoned_by, uninterrupted
from danet_common.training.lock import RunError, locked

STAGE = ".new-run.part"  # the folder within an empty one
ORDER = (LAST, "metrics.jsonl", "events", PLAN)  # of the moves: run.json says that all are done

Fill = Callable[[Path], None]  # makes a folder and the files of a new run in it, run.json last


@contextlib.contextmanager
def created(root: Path, fill: Fill) -> Iterator[None]:
    """Make the folder of a run and keep other processes out of it. Raises RunError where another process is first."""
    target = Path(os.path.realpath(root))
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as lock:
        if target.is_dir():
            lock.enter_context(locked(target, root))
            _fill_empty(target, root, fill)
        else:
            lock.enter_context(_renamed_into(target, root, fill))
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
        elif stage.is_dir():  # it had not begun to move
            _remove(stage)


@contextlib.contextmanager
def _renamed_into(target: Path, root: Path, fill: Fill) -> Iterator[None]:
    """Make the run beside its place, and rename it."""
    with contextlib.ExitStack() as lock:
        with folder_part(target) as workplace:
            new = workplace / target.name
            fill(new)
            lock.enter_context(locked(new, root))  # the lock goes with the folder to its place
            try:
                new.rename(target)  # onto an empty folder too, and onto no other
            except OSError:
                if not os.path.lexists(target):
                    raise
                raise _another(root) from None
        yield


def _fill_empty(target: Path, root: Path, fill: Fill) -> None:
    """Make the run in an empty folder that is locked."""
    if any(target.iterdir()):
        raise _another(root)
    stage = target / STAGE
    with abandoned_by(partial(_remove, stage)):
        try:
            fill(stage)
        except BaseException:
            _remove(stage)
            raise
    _move(stage, target, root)


def _move(stage: Path, target: Path, root: Path) -> None:
    """Move what there is, in its order; each move is of a whole file, to where there is none."""
    with uninterrupted():
        for name in ORDER:
            if not (stage / name).exists():  # moved before
                continue
            if os.path.lexists(target / name):
                raise _another(root)
            (stage / name).rename(target / name)
        stage.rmdir()


def _remove(stage: Path) -> None:
    """Remove the folder with what `fill` makes in it, and nothing else."""
    for place in stage.iterdir() if stage.is_dir() else ():
        if place.name in ORDER or (place.name.startswith(".") and place.name.endswith(".part")):
            place.rmdir() if place.is_dir() else place.unlink()
    with contextlib.suppress(OSError):
        stage.rmdir()


def _another(root: Path) -> RunError:
    return RunError(f"{root}: another process has begun a run there; give this run a folder of its own with --out")
