"""Child processes of a command, which end with it."""

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

Result = TypeVar("Result")

PATIENCE, PAUSE = 10.0, 0.02  # seconds: for a child to clean up, and between two checks
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows ends a process by any signal
INTERRUPTED = 130  # exit code of a `danet` command after a signal


def start_child(command: Sequence[str], **settings: Any) -> subprocess.Popen[Any]:
    """Start a process as `subprocess.Popen` does, with SIGINT blocked in it.

    A Ctrl-C goes to all processes of a terminal, and a Python that is just starting would print a traceback. A `danet`
    command unblocks SIGINT; the parent must end all other children.
    """
    with held_back():
        return subprocess.Popen(command, **settings)


@contextmanager
def held_back() -> Iterator[None]:
    """Block SIGINT on this thread, and for good in the threads and processes that it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def starting_children(start: Callable[[], Result]) -> Result:
    """Call `start`, which starts processes by `multiprocessing`, perhaps on threads, all with SIGINT blocked.

    This thread only waits, so its own handler is called.
    """
    from multiprocessing.resource_tracker import ensure_running

    def call() -> Result:
        with held_back():
            return start()

    ensure_running()  # otherwise each start of a process unblocks all signals
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(call).result()


@contextmanager
def child(command: Sequence[str], *, commands: bool = False, **settings: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a process as `subprocess.Popen` does. It ends with this process, or on an error in the block.

    commands  the child is a `danet` command: it gets SIGTERM, cleans up and tells the user of the interruption
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
    """End a child by SIGTERM and wait; kill it if it takes too long. True if it has told the user."""
    return _signal(process, signal.SIGTERM) and _exit_code(process) == INTERRUPTED


def kill_child(process: subprocess.Popen[Any]) -> bool:
    """Kill a child and wait until it is gone. False: it has not told the user."""
    _signal(process, KILL)
    _exit_code(process)
    return False


def _signal(process: subprocess.Popen[Any], number: int) -> bool:
    """Send a signal without `Popen.send_signal`, which takes a lock that an interrupted `wait` holds."""
    if process.returncode is not None:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _exit_code(process: subprocess.Popen[Any]) -> int | None:
    if not hasattr(os, "WNOHANG"):  # Windows
        return process.wait(PATIENCE)
    end = time.monotonic() + PATIENCE
    while process.returncode is None:
        try:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:  # another thread has waited for it
            return None
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > end:
            os.kill(process.pid, KILL)
        else:
            time.sleep(PAUSE)
    return process.returncode
