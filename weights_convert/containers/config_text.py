"""Read the Python text of a configuration as data: `name = value` lines of literals and `dict(...)` calls.

The text is parsed, never run. The parser skips every other kind of value.
"""

from __future__ import annotations

import ast
import contextlib
import warnings
from collections.abc import Iterable
from typing import Any

MAXIMUM_LENGTH = 1 << 20  # characters; MMSegmentation's configurations have about 10,000


class _UnknownValueError(Exception):
    """Raised for a value that is not a literal."""


def read_config_text(text: Any) -> dict[str, Any]:
    """Return name -> value of each top-level assignment; {} if the text is not such a configuration."""
    if type(text) is not str or len(text) > MAXIMUM_LENGTH:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in its strings
            lines = ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}
    return _entries(
        [
            (line.targets[0].id, line.value)
            for line in lines
            if isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name)
        ]
    )


def _entries(pairs: Iterable[tuple[Any, ast.expr]]) -> dict[str, Any]:
    """Return the entries that are literals, by name."""
    entries: dict[str, Any] = {}
    for key, value in pairs:
        with contextlib.suppress(_UnknownValueError, RecursionError):
            if type(key) is str:
                entries[key] = _value(value)
    return entries


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            names = (key.value if isinstance(key, ast.Constant) else None for key in keys)
            return _entries(zip(names, values, strict=True))
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return _entries((keyword.arg, keyword.value) for keyword in keywords)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    raise _UnknownValueError


def write_config_text(values: dict[str, Any]) -> str:
    """Return the text of a configuration with dictionaries as `dict(...)`; the inverse of `read_config_text`."""
    return "".join(f"{name} = {_text(value)}\n" for name, value in values.items())


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"dict({', '.join(f'{name}={_text(item)}' for name, item in value.items())})"
    return repr(value)
