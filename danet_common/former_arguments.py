"""Arguments that public calls took under other names: each fails with its new name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

FORMER = {
    "folded": "layers='cpu_inference'",
    "winograd": "layers='cpu_inference'",
    "recompute": "layers='remat' where the network is made or loaded",
    "stages": "taps=",
    "masks": "dropout_masks=",
    "numerics": "layers=",
}


def reject_former(names: Iterable[str]) -> None:
    """Raise TypeError, with the new name, for the first argument that has a former one."""
    for name in names:
        if name in FORMER:
            raise TypeError(f"the argument {name}= is gone; use {FORMER[name]}")


def rejects_former(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function: it raises TypeError, with the new name, for an argument that has a former one."""

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        reject_former(named)
        return function(*arguments, **named)

    return call
