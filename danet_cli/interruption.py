"""Ctrl-C, SIGTERM and SIGHUP at any moment: clean up, print one line, end with exit code 130.

The handler does not raise KeyboardInterrupt. Raised within an import, a compiler's callback or a finaliser, it ends
in tracebacks, in recursion, or in a crash of C++ code. The handler removes unfinished files and ends the process.

Python calls handlers on the main thread only, and not while that runs C code. So a second thread waits for the
signal's number on a pipe, and ends the process if the handler was not called soon. While `danet train` trains,
another handler is installed (`danet_common.training.signals`), and this one waits.

This module imports the standard library's smallest modules only, as nothing can be interrupted before it is imported.
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
SIGNALS = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
PATIENCE = 0.3  # seconds for the main thread to come back from C code

_ending = _thread.allocate_lock()  # held by the thread that ends the process, and never released
_owner: list[int] = []
_stderr: list[int] = [2]  # a copy of file descriptor 2 is put first: code may point that elsewhere for a moment


def install() -> None:
    """Handle the signals that are not ignored, and let in those that the parent process held back."""
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handle)
    _fill_descriptors()
    _stderr.insert(0, os.dup(2))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        _start_watch()


def _fill_descriptors() -> None:
    """Put /dev/null where standard input, output or error is closed: the next file opened would take its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(descriptor, True)


def handle(number: int, frame: FrameType | None = None) -> None:
    """End the process. Returns only where that is put off, or happens already further out on this thread."""
    unfinished = _unfinished()
    if unfinished is not None and unfinished.shielded():
        unfinished.put_off(number)
    else:
        _end()


def _unfinished() -> Any:
    """What there is to clean up, if that module has been imported; importing is not for a signal handler."""
    module = sys.modules.get("danet_common.files.unfinished")
    return module if hasattr(module, "abandon") else None


def _end() -> None:
    if not _ending.acquire(False):
        while _owner != [_thread.get_ident()]:  # the other thread is at it
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
    """End the process from this thread where the main thread does not come to it."""
    while True:
        ours = [number for number in os.read(reading, 64) if number in SIGNALS and signal.getsignal(number) is handle]
        for number in ours:  # a signal that came while another handler was installed is that one's, also afterwards
            time.sleep(PATIENCE)
            unfinished = _unfinished()
            if signal.getsignal(number) is handle and not (unfinished and unfinished.shielded()):
                _end()


def leave(code: int) -> NoReturn:
    """End the process without Python's own finalisation, in which signals are not handled.

    What was registered with `atexit` runs first.
    """
    import atexit

    atexit._run_exitfuncs()
    os._exit(code)
