"""Standard output and error that never raise, and escape the characters that a terminal acts on.

Python's streams raise BrokenPipeError in the middle of a command, and again when the interpreter flushes them.
Here a closed pipe swallows the rest. Another error of standard output, such as a full disk, is kept for the end: the
command finishes its work, reports the error, and exits with code 2. Errors of standard error are dropped.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import warnings
from typing import Any, TextIO, cast

CLOSED_BY_READER = (errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN)
UNABLE, INTERRUPTED = 2, 130  # exit codes

_outputs: list[Output] = []


class Output(io.RawIOBase):
    """A file descriptor to write to. After an error it drops what it is given."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.closed_by_reader = False
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write the bytes or a part of them; return the number of bytes taken."""
        if not self.closed_by_reader and self.failure is None:
            try:
                return os.write(self.descriptor, data)
            except BlockingIOError:
                select.select([], [self.descriptor], [])  # until the pipe has room
                return 0
            except OSError as error:
                self.closed_by_reader = error.errno in CLOSED_BY_READER
                self.failure = None if self.closed_by_reader else error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)


class EscapedStream:
    """Standard error for Python and libraries, whose messages may quote files. `raw_stream` does not escape."""

    def __init__(self, raw_stream: TextIO) -> None:
        self.raw_stream = raw_stream

    def write(self, text: str) -> int:
        """Write the text, escaped; lines stay lines."""
        if not text.replace("\n", "").isprintable():
            from danet_common.text import printable  # imports NumPy, which `danet --help` does not need

            text = printable(text)
        return self.raw_stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw_stream, name)


def install() -> None:
    """Replace `sys.stdout` and `sys.stderr`, and print warnings as notes."""
    sys.stdout, error = (open_output(number, stream) for number, stream in ((1, sys.stdout), (2, sys.stderr)))
    sys.stderr = cast(TextIO, EscapedStream(error))
    ignore_pillow_warnings()
    warnings.showwarning = show_warning


def ignore_pillow_warnings() -> None:
    """Drop warnings about parts of an image that are not needed, such as EXIF data."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    """Print a library's warning in one line, without its place in the source."""
    from danet_cli.console import print_note

    print_note(f"{category.__name__}: {message}")


def open_output(descriptor: int, before: TextIO | None) -> TextIO:
    """Return a text stream in the encoding of the stream before it; terminals and standard error flush each line."""
    output = Output(descriptor)
    _outputs.append(output)
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding="utf-8" if before is None else before.encoding,
        errors="backslashreplace",
        line_buffering=descriptor == 2 or output.isatty(),
    )


def settle(code: int) -> int:
    """Flush both streams. Return the exit code: 2 where standard output could not be written."""
    sys.stdout.flush()
    sys.stderr.flush()
    failure = next((output.failure for output in _outputs if output.descriptor == 1), None)
    if failure is None or code == INTERRUPTED:
        return code
    from danet_cli.console import print_error

    print_error(f"standard output: {failure.strerror}")
    return UNABLE
