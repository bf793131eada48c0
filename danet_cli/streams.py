"""Standard output and error that never raise: a reader that went away, a full disk, letters a terminal would act on.

Python's own streams raise BrokenPipeError in the middle of a command, and once more when the interpreter flushes
them at its end. Here a closed pipe swallows the rest. Any other error of standard output is kept for the end: the
command finishes its work, says that it could not print, and its exit code is 2. Errors of standard error are dropped.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from typing import Any, TextIO, cast

GONE = (errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN)  # the reader has had enough
COULD_NOT, INTERRUPTED = 2, 130  # exit codes

_outlets: list[Outlet] = []


class Outlet(io.RawIOBase):
    """A file descriptor to write to. After an error it takes what comes and drops it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.closed_by_reader = False
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """All or a part of the bytes; the count of those taken."""
        if not self.closed_by_reader and self.failure is None:
            try:
                return os.write(self.descriptor, data)
            except BlockingIOError:
                wait_for(self.descriptor)
                return 0
            except OSError as error:
                self.closed_by_reader = error.errno in GONE
                self.failure = None if self.closed_by_reader else error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)


class Cleaned:
    """Standard error as Python and the libraries see it: their texts may carry what a file says.

    `beneath` is the stream itself, for escape sequences of our own.
    """

    def __init__(self, beneath: TextIO) -> None:
        self.beneath = beneath

    def write(self, text: str) -> int:
        """Write the text with every letter escaped that no terminal should be given."""
        if not text.replace("\n", "").isprintable():
            from danet_common.text import printable  # NumPy comes with it, and `danet --help` needs none

            text = printable(text)
        return self.beneath.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


def wait_for(descriptor: int) -> None:
    """Wait until a pipe that does not block has room."""
    import select

    select.select([], [descriptor], [])


def install() -> None:
    """Put both streams in the places of Python's own. What neither encoding nor terminal has is escaped."""
    out, error = (open_outlet(number, stream) for number, stream in ((1, sys.stdout), (2, sys.stderr)))
    sys.stdout = out
    sys.stderr = cast(TextIO, Cleaned(error))
    quieten_pillow()
    warnings.showwarning = show_warning


def quieten_pillow() -> None:
    """Drop Pillow's warnings: they are of parts of a picture, such as its EXIF data, that are not needed."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """One line for a library's warning, instead of Python's two with a place in its source."""
    from danet_cli.console import print_note

    print_note(f"{category.__name__}: {message}")


def open_outlet(descriptor: int, before: TextIO | None) -> TextIO:
    """A text stream to a descriptor, in the encoding of the stream before it; standard error by lines."""
    outlet = Outlet(descriptor)
    _outlets.append(outlet)
    by_lines = descriptor == 2 or outlet.isatty()
    encoding = before.encoding if before is not None else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(outlet), encoding=encoding, errors="backslashreplace", line_buffering=by_lines
    )


def settle(code: int) -> int:
    """Write what is left. Return the exit code, which is 2 where standard output could not be written."""
    sys.stdout.flush()
    sys.stderr.flush()
    failure = next((outlet.failure for outlet in _outlets if outlet.descriptor == 1), None)
    if failure is None or code == INTERRUPTED:
        return code
    from danet_cli.console import print_error

    print_error(f"standard output: {failure.strerror}")
    return COULD_NOT
