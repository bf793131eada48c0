"""Results of pickle instructions other than plain values: globals, inert objects, dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

LONGEST_NAME = 500  # characters of a global's name
LARGEST_KEY = 1 << 32  # of integers that may be keys


@dataclass(frozen=True)
class Global:
    """The name `module.name` of a global, which is never imported."""

    name: str


@dataclass(frozen=True, eq=False)
class Opaque:
    """An object of a class that the reader does not know; it keeps the name of the class only."""

    name: str


@runtime_checkable
class Stateful(Protocol):
    """A constructed value whose state comes with the BUILD instruction."""

    def set_state(self, state: Any) -> None: ...


class Record:
    """An object of a known class: `state` has its attributes. Its hash is that of its identity."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = {}

    def set_state(self, state: Any) -> None:
        """Set the attributes."""
        self.state = state


def named(module: str, name: str) -> Global:
    """Return the global `module.name`. Raise ValueError if it is not a valid Python name."""
    if len(module) + len(name) > LONGEST_NAME or not (module + name).isprintable():
        raise ValueError("a global has an invalid name")
    return Global(f"{module}.{name}")


def as_dict(items: list[Any]) -> dict[Any, Any]:
    """Return a dictionary from alternating keys and values.

    A key that is neither a plain scalar nor a `Record` becomes inert.
    """
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values):
        raise ValueError("a dictionary has a key without a value")
    result = {key if _may_be_key(key) else Opaque("key"): value for key, value in zip(keys, values, strict=True)}
    if len(result) != len(keys):
        raise ValueError("a key occurs twice")
    return result


def _may_be_key(key: Any) -> bool:
    return key is None or isinstance(key, str | bytes | Record) or (isinstance(key, int) and abs(key) < LARGEST_KEY)
