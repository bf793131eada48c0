"""What a pickle's instructions make besides plain values: names, inert objects, dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

LONGEST_NAME = 500  # characters of a global's
LARGEST_KEY = 1 << 32  # of the whole numbers that may be keys


@dataclass(frozen=True)
class Global:
    """A name: `module.name` of something importable, which is not imported."""

    name: str


class Opaque:
    """Something built by a name that the reader does not know. Holds that name and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


@runtime_checkable
class Stateful(Protocol):
    """A value that a constructor made and that takes its content from the BUILD instruction."""

    def set_state(self, state: Any) -> None: ...


def named(module: str, name: str) -> Global:
    """The global of a module. Raises ValueError for what is no name in Python, and would be no help in a message."""
    if len(module) + len(name) > LONGEST_NAME or not (module + name).isprintable():
        raise ValueError("a global whose name is no name")
    return Global(f"{module}.{name}")


def as_dict(items: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn as a dictionary; a key that is no plain scalar becomes one of its own kind."""
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values):
        raise ValueError("a dictionary with a key but no value")
    result = {key if _may_be_key(key) else Opaque("key"): value for key, value in zip(keys, values, strict=True)}
    if len(result) != len(keys):
        raise ValueError("a key is there twice")
    return result


def _may_be_key(key: Any) -> bool:
    return key is None or isinstance(key, str | bytes) or (isinstance(key, int) and abs(key) < LARGEST_KEY)
