"""Initial weights of layers: each layer draws its own when it is made, unless its network fills all of them.

A layer knows its tensors, and the scope of their names, whose rule `initialisation` has. Its seed comes from its
framework's own generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SCOPE: ContextVar[str] = ContextVar("scope", default="")
_SKIPPED: ContextVar[bool] = ContextVar("skipped", default=False)


@contextmanager
def skip_initialisation() -> Iterator[None]:
    """Make layers without drawing: kernels and biases stay at 0, because their network fills them afterwards."""
    token = _SKIPPED.set(True)
    try:
        yield
    finally:
        _SKIPPED.reset(token)


@contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Make the layers of a part of a network: `backbone`, or a module by its attribute's name."""
    token = _SCOPE.set(f"{_SCOPE.get()}{name}.")
    try:
        yield
    finally:
        _SCOPE.reset(token)


def skips_initialisation() -> bool:
    """True where layers do not draw when they are made."""
    return _SKIPPED.get()


def current_scope() -> str:
    """Start of the canonical names of a layer's tensors, as far as the scopes around it tell."""
    return _SCOPE.get()
