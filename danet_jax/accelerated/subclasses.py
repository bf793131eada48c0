"""Subclasses of a module's class that do something around its call. Tensors keep their names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flax import nnx


@functools.cache  # equal networks have equal classes, and so share compiled programs
def subclass_of(kind: Any, around: Callable[..., Any]) -> Any:
    """Return the one subclass of a class whose call is `around(kind, module, x, ...)`, of the class's name."""

    class Subclass(kind):
        made_of = description_of(kind), around

        def __call__(self, *arguments: Any, **named: Any) -> Any:
            return around(kind, self, *arguments, **named)

        def __reduce__(self) -> tuple[Any, ...]:
            return new_module, (self.made_of,), self.__getstate__()

    Subclass.__name__ = Subclass.__qualname__ = kind.__name__
    Subclass.__doc__ = kind.__doc__
    return Subclass


def description_of(kind: Any) -> Any:
    """Return what a pickle says of a class: the class itself, or the description of a subclass made here."""
    return vars(kind).get("made_of", kind)


def class_of(description: Any) -> Any:
    """Return the class of a description."""
    if isinstance(description, type):
        return description
    written, around = description
    return subclass_of(class_of(written), around)


def new_module(description: Any) -> nnx.Module:
    """Return an empty module of a description, which a pickle fills."""
    kind = class_of(description)
    module: nnx.Module = kind.__new__(kind)
    return module
