"""Recognise the out-of-memory errors of each framework."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from danet_cli.console import CommandError

WORDS = ("out of memory", "allocate memory", "oom when")  # torch on a GPU and JAX; torch on a CPU; TensorFlow
LONGEST = 200  # characters of the framework's message


@contextmanager
def explain_out_of_memory(advice: str) -> Iterator[None]:
    """Raise CommandError with the advice where memory runs out. Other errors pass."""
    try:
        yield
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines if any(word in line.lower() for word in WORDS)), "")
        if isinstance(error, MemoryError):  # Python's and NumPy's
            reason = str(error)
        elif not reason:
            raise
        raise CommandError(f"out of memory{f' ({reason[:LONGEST]})' if reason else ''}; {advice}") from None
