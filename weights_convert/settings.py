"""Parse and format `FIELD=VALUE` settings of a config, by the declared type of the field."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from danet_common import CheckpointError, DANetConfig

HINTS = get_type_hints(DANetConfig)
LONGEST = 60  # characters of a wrong value in the error
MOST_DIGITS = 19  # of an integer with its sign: 64 bits
SEPARATORS = (",", "-")  # of items, and of the items of a nested tuple: palette=128-64-128,244-35-232
NAMES: Mapping[Any, str] = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}


def parse_settings(settings: Mapping[str, str] | None) -> dict[str, Any]:
    """Return field -> value. Raise CheckpointError for an unknown field or a value of the wrong type."""
    return {field: parse_setting(field, text) for field, text in (settings or {}).items()}


def parse_setting(field: str, text: str) -> Any:
    """Parse one field's value: `none`, `true`, `8`, `0.1`, `corners`, `1,2,4`. Raise CheckpointError if invalid."""
    if field not in HINTS:
        raise CheckpointError(f"unknown setting {field!r}; a config has {', '.join(HINTS)}")
    return parse_as(HINTS[field], field, text)


def parse_as(hint: Any, field: str, text: str) -> Any:
    """Parse a value of this type. Raise CheckpointError if it is invalid."""
    try:
        return _parse(text.strip(), hint)
    except (ValueError, KeyError):
        got = repr(text[:LONGEST]) + "..." * (len(text) > LONGEST)
        raise CheckpointError(f"the setting {field} must be {describe(hint)}; got {got}") from None


def format_setting(value: Any, depth: int = 0) -> str:
    """Return a value as the text of a setting; the inverse of `parse_setting`."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if value == ():
        return "none"
    if isinstance(value, tuple):
        return SEPARATORS[depth].join(format_setting(item, depth + 1) for item in value)
    return str(value)


def describe(hint: Any, depth: int = 0) -> str:
    """Describe a type in the words of a setting: "whole numbers with ',' between, or none"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return f"{describe(_present(arguments), depth)}, or none"
    if origin is Literal:
        return " or ".join(str(choice) for choice in arguments)
    if origin is tuple:
        count = "items" if arguments[-1] is Ellipsis else f"{len(arguments)} items"
        return f"{count} with {SEPARATORS[depth]!r} between, each {describe(arguments[0], depth + 1)}"
    return NAMES[hint]


def _parse(text: str, hint: Any, depth: int = 0) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if text.lower() == "none" else _parse(text, _present(arguments), depth)
    if origin is Literal:
        return {str(choice): choice for choice in arguments}[text]
    if origin is tuple:
        if text.lower() == "none" and arguments[-1] is Ellipsis:
            return ()
        items = text.split(SEPARATORS[depth])
        if arguments[-1] is not Ellipsis and len(items) != len(arguments):
            raise ValueError(f"{len(items)} items")
        return tuple(_parse(item.strip(), arguments[0], depth + 1) for item in items)
    if hint is int and len(text) > MOST_DIGITS:
        raise ValueError("too many digits")
    if hint is float and not math.isfinite(float(text)):
        raise ValueError("not finite")
    if hint is bool:
        return {"true": True, "false": False}[text.lower()]
    return hint(text)


def _present(arguments: tuple[Any, ...]) -> Any:
    """Return an optional type without None."""
    return next(argument for argument in arguments if argument is not types.NoneType)
