"""Print: the one-line error, notes, tables for people, JSON for programs, progress. Define the exit codes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `danet --version` does without rich's tables
    from rich.console import Console

EXIT_CODES = "Exit codes: 0 done, or agree; 1 disagree, or a part failed; 2 could not; 130 interrupted."
WIDTH = 120  # of tables in a file or a pipe
LISTED = re.compile(r"\n(?=  |[0-9]+ further error)")  # line breaks between listed errors
LONGEST_STEP = 100  # characters before a bar

Step = Callable[[str], None]


class ExitCode(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    DISAGREE = 1
    UNABLE = 2
    INTERRUPTED = 130


class CommandError(Exception):
    """The command cannot do its work, for a reason that the user can act on."""


def print_error(error: str | BaseException) -> None:
    """Print an error to standard error in one line. The errors that it lists follow on lines of their own."""
    first, *further = [error] if isinstance(error, str) else describe_error(error).split("\n")
    print(f"danet: {escape(first)}", file=sys.stderr)
    for line in further:
        print(escape(line), file=sys.stderr)


def print_note(text: str = "") -> None:
    """Print a line to standard error: information or a warning, not an error."""
    print(escape(text), file=sys.stderr)


def print_line(text: str = "", style: str | None = None) -> None:
    """Print a line of any length to standard output; terminals show the style."""
    if style is None:
        print(escape(text))
    else:
        console().print(text, style=style, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print JSON to standard output, in ASCII without control characters."""
    print(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print a table of names and values."""
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    console().print(table)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int) -> None:
    """Print a table: first columns of text, then right-aligned numbers."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for index, heading in enumerate(headings):
        is_text = index < text_columns
        table.add_column(heading, no_wrap=is_text, justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def console(stderr: bool = False) -> Console:
    """Return rich's console for standard output or error; tables in a pipe or a file are WIDTH wide.

    Text from files is safe: no markup, and each string is printed as `escape` returns it. A `Text` may have several
    lines, a string may not.
    """
    from danet_cli.safe_console import SafeConsole

    stream = sys.stderr if stderr else sys.stdout
    return SafeConsole(stream, None if stream.isatty() else WIDTH)


@contextmanager
def progress(total: int) -> Iterator[Step]:
    """Show a bar on a terminal's standard error. Yields a function to call with the name of each step as it begins."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from danet_common.files.unfinished import abandoned_by

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with abandoned_by(restore_terminal), bar:
        task = bar.add_task("", total=total)
        steps_done = 0

        def step(description: str) -> None:
            nonlocal steps_done
            bar.update(task, description=escape(description)[:LONGEST_STEP], completed=steps_done)
            steps_done += 1

        yield step


def restore_terminal() -> None:
    """Clear the line of an interrupted bar, and show the cursor again."""
    if os.isatty(2):
        os.write(2, b"\r\x1b[2K\x1b[?25h")


def escape(text: str) -> str:
    """Return text from a name or a file in one line, without characters that a terminal acts on."""
    if text.isprintable():
        return text
    from danet_common.text import in_one_line  # imports NumPy, which `danet --help` does not need

    return in_one_line(text)


def describe_error(error: BaseException) -> str:
    """Return an error in a user's words: an OSError's file first, a missing package with its install command.

    Listed errors stand on indented lines; there are no other line breaks.
    """
    if isinstance(error, ModuleNotFoundError) and error.msg.startswith("No module named"):  # Python's own
        from danet_common.extras import explain_missing

        return explain_missing("this command", [error.name or "a package"])
    if isinstance(error, OSError) and error.strerror:
        return escape(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    lines = LISTED.split(str(error).strip() or type(error).__name__)
    return "\n".join(map(escape, lines))


def first_line(error: BaseException) -> str:
    """Return the first line of an error; a framework's may have many."""
    if isinstance(error, OSError):
        return describe_error(error)
    return escape(str(error).strip().partition("\n")[0]) or type(error).__name__
