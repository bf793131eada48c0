"""Processes that a command starts and must not leave behind when a signal ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from danet_common.files.unfinished import abandoned_by

HELD_BACK = (signal.SIGINT,)  # SIGTERM ends a starting Python without a word
Result = TypeVar("Result")

PATIENCE, PAUSE = 10.0, 0.02  # seconds: for a child to clean up, and between two looks at it
INTERRUPTED = 130  # the exit code of a child that was asked to end, and has said so


def start_child(command: Sequence[str], **settings: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen`, with SIGINT held back in the child until it handles that.

    A Ctrl-C comes to all processes of a terminal, and one that Python is just starting in would print a traceback.
    A child that is a `danet` command lets it in; another one never hears it, and its parent must end it.
    """
    with held_back():
        return subprocess.Popen(command, **settings)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold SIGINT back on this thread, and in the threads and processes that it starts, which go on so."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def starting_children(start: Callable[[], Result]) -> Result:
    """Call what starts processes with `multiprocessing`, perhaps on threads of its own, so that none hears SIGINT.

    This thread only waits, so that its own handler is called.
    """
    from multiprocessing.resource_tracker import ensure_running

    def call() -> Result:
        with held_back():
            return start()

    if os.name == "posix":
        ensure_running()  # where it is not running, each start of a process lets all signals in
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(call).result()


@contextmanager
def child(command: Sequence[str], *, commands: bool = False, **settings: Any) -> Iterator[subprocess.Popen[Any]]:
    """Yield a process as `subprocess.Popen` starts it. It is ended with this process, and at the end of the block.

    commands  the child is a `danet` command: it is asked to end, cleans up and says that it was interrupted
    """
    process = start_child(command, **settings)
    end = partial(end_child if commands else kill_child, process)
    with abandoned_by(end), process:
        try:
            yield process
        except BaseException:
            end()
            raise


def end_child(process: subprocess.Popen[Any]) -> bool:
    """Ask a child to end, and wait until it has; kill it if it takes too long. True if it said so itself."""
    return _signal(process, signal.SIGTERM) and _exit_code(process) == INTERRUPTED


def kill_child(process: subprocess.Popen[Any]) -> bool:
    """Kill a child and wait until it is gone. False: it said nothing."""
    _signal(process, signal.SIGKILL)
    _exit_code(process)
    return False


def _signal(process: subprocess.Popen[Any], number: int) -> bool:
    """Not by `Popen.send_signal`, which takes a lock that an interrupted `wait` holds."""
    if process.returncode is not None:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _exit_code(process: subprocess.Popen[Any]) -> int | None:
    end = time.monotonic() + PATIENCE
    while process.returncode is None:
        try:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:  # another thread has waited for it
            return None
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > end:
            os.kill(process.pid, signal.SIGKILL)
        else:
            time.sleep(PAUSE)
    return process.returncode
