"""What every command shares: exit codes, the one-line error, tables for people, JSON for machines, progress."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # rich takes longer to import than `danet --version` may
    from rich.console import Console

EXIT_CODES = "Exit codes: 0 done, or agree; 1 disagree, or a part failed; 2 could not; 130 interrupted."
WIDTH = 120  # of tables that go into a file or a pipe
LISTED = re.compile(r"\n(?=  |[0-9]+ further fault)")  # the line breaks that a list of faults has
LONGEST_STEP = 100  # letters of what stands before a bar

Step = Callable[[str], None]


class ExitCode(IntEnum):
    """How a command ends."""

    DONE = 0
    DISAGREE = 1
    UNABLE = 2
    INTERRUPTED = 130


class CommandError(Exception):
    """The command cannot do what was asked, for a reason that the user can act on."""


def print_error(what: str | BaseException) -> None:
    """Say on standard error what is wrong, in one line. The faults that an error lists follow on lines of their own."""
    first, *further = [what] if isinstance(what, str) else describe_error(what).split("\n")
    print(f"danet: {escape(first)}", file=sys.stderr)
    for line in further:
        print(escape(line), file=sys.stderr)


def print_note(text: str = "") -> None:
    """Say on standard error, in one line, what the user should know although nothing is wrong."""
    print(escape(text), file=sys.stderr)


def escape(text: str) -> str:
    """The text in one line without what a terminal would act on: it may be a name, or from a file."""
    if text.isprintable():
        return text
    from danet_common.text import in_one_line  # NumPy comes with it, and `danet --help` needs none

    return in_one_line(text)


def print_line(text: str = "", style: str | None = None) -> None:
    """One line on standard output, as long as it is; a style is for terminals."""
    if style is None:
        print(escape(text))
    else:
        console().print(text, style=style, soft_wrap=True)


def print_json(value: Any) -> None:
    """The machine's answer: all that standard output holds. It is ASCII without control characters."""
    print(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))


def console(stderr: bool = False) -> Console:
    """Standard output, or error, for tables; a pipe or a file gets lines as long as a table needs.

    What it prints may come from a file: no brackets or colons in it mean anything, and every string and every piece
    of a table is shown as `escape` has it. A `Text` may have several lines, which a string may not.
    """
    from danet_cli.safe_console import SafeConsole

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH
    return SafeConsole(stream, width)


def print_facts(title: str, facts: dict[str, str]) -> None:
    """A small table of names and values."""
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    console().print(table)


@contextmanager
def progress(total: int) -> Iterator[Step]:
    """A bar on standard error, for terminals only. Call what is yielded with the name of each step as it begins."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from danet_common.files.unfinished import abandoned_by

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with abandoned_by(restore_terminal), bar:
        task = bar.add_task("", total=total)
        begun = 0

        def step(description: str) -> None:
            nonlocal begun
            bar.update(task, description=escape(description)[:LONGEST_STEP], completed=begun)
            begun += 1

        yield step


def restore_terminal() -> None:
    """Empty the line of a bar that is cut off, and show the cursor that it hid."""
    if os.isatty(2):
        os.write(2, b"\r\x1b[2K\x1b[?25h")


def describe_error(error: BaseException) -> str:
    """An error in the words of a user: an OSError's file first, an absent package with the way to get it.

    The faults that an error lists stand on indented lines of their own, and there are no other line breaks.
    """
    if isinstance(error, ModuleNotFoundError):
        return f"this needs the package {error.name}, which is not installed: pip install 'danet[all]'"
    if isinstance(error, OSError) and error.strerror:
        return escape(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    lines = LISTED.split(str(error).strip() or type(error).__name__)
    return "\n".join(map(escape, lines))


def first_line(error: BaseException) -> str:
    """An error in one line: a framework's may go on for many."""
    if isinstance(error, OSError):
        return describe_error(error)
    return escape(str(error).strip().partition("\n")[0]) or type(error).__name__


def count_bytes(size: int) -> str:
    """A size in words: 190.4 MB."""
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
