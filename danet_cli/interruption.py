"""Handle Ctrl-C, SIGTERM and SIGHUP at any moment: clean up, print one line, end with exit code 130.

The handler removes unfinished files and ends the process. It does not raise KeyboardInterrupt. In an import, a
compiler's callback or a finaliser that ends in tracebacks, recursion or a crash of C++ code.

Python calls handlers on the main thread only, and not while that thread runs C code. So a second thread waits for the
signal's number on a pipe, and ends the process if the handler is not called soon. While `danet train` trains, its own
handler (`danet_common.training.signals`) replaces this one.

This module imports only the smallest standard modules, as no signal is handled before it is imported.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes longer to import than the handler may
    from types import FrameType
    from typing import Any, NoReturn

INTERRUPTED = 130
LINE = b"danet: interrupted\n"
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PATIENCE = 0.3  # seconds for the main thread to come back from C code

_ending = _thread.allocate_lock()  # acquired by the thread that ends the process, never released
_owner: list[int] = []
_stderr: list[int] = [2]  # a copy of file descriptor 2 is put first: code may point that elsewhere for a moment


def install() -> None:
    """Handle the signals that are not ignored, and unblock those that the parent process blocked."""
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handle)
    _fill_descriptors()
    _stderr.insert(0, os.dup(2))
    if hasattr(signal, "pthread_sigmask"):  # not on Windows, where the main thread alone must do
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        _start_watch()


def _fill_descriptors() -> None:
    """Open /dev/null for closed standard streams; the next opened file would get their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(descriptor, True)


def handle(number: int, frame: FrameType | None = None) -> None:
    """End the process. Returns only if that is postponed, or this thread is ending the process already."""
    unfinished = _unfinished()
    if unfinished is not None and unfinished.shielded():
        unfinished.put_off(number)
    else:
        _end()


def _unfinished() -> Any:
    """Return the clean-up module if it is imported; a signal handler must not import."""
    module = sys.modules.get("danet_common.files.unfinished")
    return module if hasattr(module, "abandon") else None


def _end() -> None:
    if not _ending.acquire(False):
        while _owner != [_thread.get_ident()]:  # the second thread ends the process
            time.sleep(1)
        return
    _owner.append(_thread.get_ident())
    try:
        unfinished = _unfinished()
        if unfinished is None or not unfinished.abandon():
            os.write(_stderr[0], LINE)
    finally:
        os._exit(INTERRUPTED)


def _start_watch() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        _thread.start_new_thread(_watch, (reading,))
    except RuntimeError:  # no thread to be had: the main thread must do
        signal.set_wakeup_fd(-1)


def _watch(reading: int) -> None:
    """End the process from this thread where the main thread does not."""
    while True:
        signals = [
            number for number in os.read(reading, 64) if number in SIGNALS and signal.getsignal(number) is handle
        ]
        for number in signals:  # not those for the handler of training
            time.sleep(PATIENCE)
            unfinished = _unfinished()
            if signal.getsignal(number) is handle and not (unfinished and unfinished.shielded()):
                _end()


def leave(code: int) -> NoReturn:
    """Run `atexit` functions, and end the process without Python's finalisation, which handles no signals."""
    import atexit

    atexit._run_exitfuncs()
    os._exit(code)
