"""Memory that does not suffice, for which each framework has an error of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from danet_cli.console import CommandError

WORDS = ("out of memory", "allocate memory", "oom when")  # torch on a GPU and JAX; torch on a CPU; TensorFlow
LONGEST = 200  # characters of theirs that are shown


@contextmanager
def saying_shortage(advice: str) -> Iterator[None]:
    """Raise Unable, with what takes less, where memory does not suffice. Other errors are let through."""
    try:
        yield
    except MemoryError as error:  # NumPy's, and Python's own
        raise CommandError(in_words(str(error), advice)) from None
    except Exception as error:
        said = [line.strip() for line in str(error).splitlines() if any(word in line.lower() for word in WORDS)]
        if not said:
            raise
        raise CommandError(in_words(said[0], advice)) from None


def in_words(said: str, advice: str) -> str:
    """One line, with what was said of how much there is."""
    return f"memory does not suffice{f' ({said[:LONGEST]})' if said else ''}; {advice}"
