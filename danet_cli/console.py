"""What every command shares: exit codes, the one-line error, tables for people, JSON for machines, progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # rich takes longer to import than `danet --version` may
    from rich.console import Console

EXIT_CODES = "Exit codes: 0 done, or agree; 1 disagree, or a part failed; 2 could not; 130 interrupted."
WIDTH = 120  # of tables that go into a file or a pipe

Step = Callable[[str], None]


class ExitCode(IntEnum):
    """How a command ends."""

    DONE = 0
    DISAGREE = 1
    UNABLE = 2
    INTERRUPTED = 130


class Unable(Exception):
    """The command cannot do what was asked, for a reason that the user can act on."""


def complain(text: str) -> None:
    """Say on standard error what is wrong. Faults that belong to it follow on lines of their own."""
    print(f"danet: {shown(text)}", file=sys.stderr)


def note(text: str) -> None:
    """Say on standard error what the user should know although nothing is wrong."""
    print(shown(text), file=sys.stderr)


def shown(text: str) -> str:
    """The text without what a terminal would act on: it may be from a file."""
    from danet_common.wording import printable  # NumPy comes with it, and `danet --help` needs none

    return printable(text)


def print_json(value: Any) -> None:
    """The machine's answer: all that standard output holds."""
    print(json.dumps(value, indent=2))


def console() -> Console:
    """Standard output for people; a pipe or a file gets lines as long as a table needs.

    What it prints may come from a file, so no brackets or colons in it mean anything.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_facts(title: str, facts: dict[str, str]) -> None:
    """A small table of names and values."""
    from rich.table import Table

    table = Table(title=shown(title), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(shown(name), shown(value))
    console().print(table)


@contextmanager
def progress(total: int) -> Iterator[Step]:
    """A bar on standard error, for terminals only. Call what is yielded with the name of each step as it begins."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task("", total=total)
        begun = 0

        def step(description: str) -> None:
            nonlocal begun
            bar.update(task, description=description, completed=begun)
            begun += 1

        yield step


def describe_error(error: BaseException) -> str:
    """An error in the words of a user: an OSError's file first, an absent package with the way to get it."""
    if isinstance(error, ModuleNotFoundError):
        return f"this needs the package {error.name}, which is not installed: pip install 'danet[all]'"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def count_bytes(size: int) -> str:
    """A size in words: 190.4 MB."""
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
