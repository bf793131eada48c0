"""Work that is not finished: what to remove when the process is asked to end in the middle of it.

The command's signal handler (`danet_cli.interruption`) ends the process from wherever it is: no exception passes
through frameworks, some of which swallow it or crash. So `finally` blocks do not run then. What they would do stands
in this list as well, and the handler does it.

    with abandoned_by(part.unlink):      # before the file is made
        write(part)
        with uninterrupted():            # two steps that are one
            first(part)
            second(part)
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

_clean_ups: dict[object, Callable[[], object]] = {}
_shields: list[object] = []
_waiting: list[int] = []  # signals that came behind a shield


@contextmanager
def abandoned_by(clean_up: Callable[[], object]) -> Iterator[None]:
    """Have `clean_up` called if a signal ends the process within the block.

    It runs between any two steps of the block, perhaps on another thread, so it must be short and import nothing.
    It may find nothing to do. An OSError of it is ignored. It returns True where it has told the user that the
    process is interrupted.
    """
    key = object()
    _clean_ups[key] = clean_up
    try:
        yield
    finally:
        del _clean_ups[key]


@contextmanager
def temporary_folder(prefix: str = "danet-") -> Iterator[Path]:
    """Yield a new folder in the system's place for temporary files; it is removed also if a signal ends the process."""
    with ExitStack() as listed:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix=prefix))
            remove = partial(shutil.rmtree, folder, ignore_errors=True)
            listed.enter_context(abandoned_by(remove))
        listed.callback(remove)
        yield folder


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off a signal that would end the process until the block is done. For a few quick steps only."""
    shield = object()
    _shields.append(shield)
    try:
        yield
    finally:
        _shields.remove(shield)
        if not _shields and _waiting:
            signal.raise_signal(_waiting.pop())


def put_off(number: int) -> None:
    """Let a signal come again when the block is done that `shielded` speaks of. For the handler."""
    _waiting.append(number)


def shielded() -> bool:
    """True within a block that must be done first. For the handler."""
    return bool(_shields)


def abandon() -> bool:
    """Do all that is on the list, the newest first. For the handler, just before it ends the process.

    True if a child process has told the user already.
    """
    told = False
    for key in reversed(list(_clean_ups)):
        clean_up = _clean_ups.get(key)
        if clean_up is not None:
            with suppress(OSError):
                told |= clean_up() is True
    return told
