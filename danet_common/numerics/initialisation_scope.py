"""Initial weights of layers: each layer draws its own when it is made, unless its network fills them all.

The scope of a layer's names decides its distribution (see initialisation.py); its framework's generator gives the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SCOPE: ContextVar[str] = ContextVar("scope", default="")
_SKIPPED: ContextVar[bool] = ContextVar("skipped", default=False)


@contextmanager
def skip_initialisation() -> Iterator[None]:
    """Make layers with kernels and biases of 0, because their network fills them afterwards."""
    token = _SKIPPED.set(True)
    try:
        yield
    finally:
        _SKIPPED.reset(token)


@contextmanager
def initialisation_scope(name: str) -> Iterator[None]:
    """Make the layers of a part of a network, `backbone` or a module by its attribute's name."""
    token = _SCOPE.set(f"{_SCOPE.get()}{name}.")
    try:
        yield
    finally:
        _SCOPE.reset(token)


def skips_initialisation() -> bool:
    """True within `skip_initialisation`."""
    return _SKIPPED.get()


def current_scope() -> str:
    """Return the start of the canonical names of a layer's tensors."""
    return _SCOPE.get()
