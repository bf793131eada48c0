"""Former names of arguments, functions and recipe fields: code that uses one fails with the new name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn, ParamSpec, TypeVar

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
FORMER_FIELDS = {
    "accumulation": "gradient_accumulation_steps",
    "adam_mean_decay": "adam_beta1",
    "adam_square_decay": "adam_beta2",
    "average_decay": "ema_decay",
    "head_rate": "head_lr_multiplier",
    "minimum_rate": "min_learning_rate",
    "ohem_minimum": "ohem_min_kept",
    "power": "poly_power",
    "recompute": "remat",
}


def no_attribute(module: str, name: str, hints: Mapping[str, str]) -> AttributeError:
    """Return the error for a name that a module lacks, with the hint for a name that it had once."""
    hint = f"; {hints[name]}" if name in hints else ""
    return AttributeError(f"module {module!r} has no attribute {name!r}{hint}")


def former_attributes(module: str, moved: Iterable[type], **hints: str) -> Callable[[str], NoReturn]:
    """Return `__getattr__` of a module: it raises AttributeError, with the new place or name of what the module had.

    moved  classes that are in modules of their own now
    hints  former name -> such words as "it is predict_logits now"
    """
    places = {kind.__name__: f"it is {kind.__module__}.{kind.__name__} now" for kind in moved}

    def __getattr__(name: str) -> NoReturn:
        raise no_attribute(module, name, places | hints)

    return __getattr__


def raise_if_renamed(names: Iterable[str], former: Mapping[str, str] = FORMER) -> None:
    """Raise TypeError, with the new name, for the first argument that has a former one."""
    for name in names:
        if name in former:
            raise TypeError(f"the argument {name}= is gone; use {former[name]}")


def reject_renamed_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function: it raises TypeError, with the new name, for an argument that has a former one."""

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        raise_if_renamed(named)
        return function(*arguments, **named)

    return call
