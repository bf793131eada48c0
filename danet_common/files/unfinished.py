"""Clean-up of unfinished work when a signal ends the process.

The command's signal handler (`danet_cli.interruption`) ends the process at once. An exception would have to pass
through frameworks, some of which swallow it or crash. So `finally` blocks do not run; the handler calls this list.

    with abandoned_by(part.unlink):      # before the file is made
        write(part)
        with uninterrupted():            # two steps that belong together
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
_waiting: list[int] = []  # delayed signals


@contextmanager
def abandoned_by(clean_up: Callable[[], object]) -> Iterator[None]:
    """Call `clean_up` if a signal ends the process within the block.

    It runs between any two steps of the block, perhaps on another thread, so it must be short and import nothing.
    Its OSErrors are ignored. It returns True if it has told the user that the process is interrupted.
    """
    key = object()
    _clean_ups[key] = clean_up
    try:
        yield
    finally:
        del _clean_ups[key]


@contextmanager
def temporary_folder(prefix: str = "danet-") -> Iterator[Path]:
    """Yield a new temporary folder; it is removed also if a signal ends the process."""
    with ExitStack() as listed:
        with uninterrupted():
            folder = Path(tempfile.mkdtemp(prefix=prefix))
            remove = partial(shutil.rmtree, folder, ignore_errors=True)
            listed.enter_context(abandoned_by(remove))
        listed.callback(remove)
        yield folder


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay a signal that would end the process until the block is done. For a few quick steps only."""
    shield = object()
    _shields.append(shield)
    try:
        yield
    finally:
        _shields.remove(shield)
        if not _shields and _waiting:
            signal.raise_signal(_waiting.pop())


def put_off(number: int) -> None:
    """Raise a signal again when the `uninterrupted` block is done. For the handler."""
    _waiting.append(number)


def shielded() -> bool:
    """True within an `uninterrupted` block. For the handler."""
    return bool(_shields)


def abandon() -> bool:
    """Call all clean-ups, the newest first; True if one has told the user. For the handler, before the end."""
    told = False
    for key in reversed(list(_clean_ups)):
        clean_up = _clean_ups.get(key)
        if clean_up is not None:
            with suppress(OSError):
                told |= clean_up() is True
    return told
