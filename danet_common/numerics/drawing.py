"""How layers draw their own initial weights: each when it is made, but not within a network that fills all of them.

A layer knows its tensors, and the part of a network that it stands in, whose rule `initialisation` has. Its seed comes
from its framework's own generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PART: ContextVar[str] = ContextVar("part", default="")
_POSTPONED: ContextVar[bool] = ContextVar("postponed", default=False)


@contextmanager
def postponed() -> Iterator[None]:
    """Make layers without drawing: kernels and biases stay at zero, because their network fills them afterwards."""
    token = _POSTPONED.set(True)
    try:
        yield
    finally:
        _POSTPONED.reset(token)


@contextmanager
def within(part: str) -> Iterator[None]:
    """Make the layers of a part of a network: `backbone`, or a module by its attribute's name."""
    token = _PART.set(f"{_PART.get()}{part}.")
    try:
        yield
    finally:
        _PART.reset(token)


def is_postponed() -> bool:
    """True where layers do not draw when they are made."""
    return _POSTPONED.get()


def current_part() -> str:
    """Return what the canonical names of a layer's tensors start with, as far as the part of the network tells."""
    return _PART.get()
