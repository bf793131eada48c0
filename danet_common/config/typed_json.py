"""Dataclasses from JSON by their annotations: each field of its declared type, none unknown and none missing.

A dataclass checks itself what a type cannot say, such as a range, by `require`.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

LARGEST_WHOLE = 2**63 - 1  # NumPy and the frameworks count in 64 bits
LARGEST = sys.float_info.max  # JSON has whole numbers beyond it
LONGEST_TEXT = 10_000  # letters; Linux has no path of more than 4096 bytes
SHOWN = 60  # letters of a wrong value, in the error

WORDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "a text",
    type(None): "null",
}


def from_json(kind: type[T], value: Any, place: str = "") -> T:
    """Return the dataclass `kind` from a JSON object; nested dataclasses, tuples and mappings too.

    place  name of the value, which begins each field's name in an error: "recipe" for "recipe.steps"

    Absent fields take their defaults. A dataclass may have `from_old_fields`, which takes the object of an
    earlier version and returns today's. Raises ValueError of one line, naming the field.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{place or 'the content'} must be an object; got {shown(value)}")
    fields = getattr(kind, "from_old_fields", dict)(value)
    declared: Any = kind
    hints, required = _declared(declared)
    for name in fields:
        if name not in hints:
            raise ValueError(f"{_joined(place, shown_name(name))} is an unknown field; known: {', '.join(hints)}")
    for name in required:
        if name not in fields:
            raise ValueError(f"{_joined(place, name)} is missing")
    values = {name: _typed(hints[name], item, _joined(place, name)) for name, item in fields.items()}
    try:
        return kind(**values)
    except ValueError as error:  # its text begins with a field's name, or is about several fields
        text = str(error)
        named = text.split(maxsplit=1)[0].split(".")[0] in hints
        raise ValueError(_joined(place, text) if named or not place else f"{place}: {text}") from None


@functools.cache
def _declared(kind: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the types of a dataclass's fields, and the names of those without a default."""
    hints, fields = get_type_hints(kind), dataclasses.fields(kind)
    missing = dataclasses.MISSING
    required = tuple(field.name for field in fields if field.default is missing and field.default_factory is missing)
    return {field.name: hints[field.name] for field in fields}, required


def _typed(hint: Any, value: Any, place: str) -> Any:
    """Return the value in its declared type. Raises ValueError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        (present,) = (argument for argument in arguments if argument is not types.NoneType)
        return _typed(present, value, place)
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return from_json(hint, value, place)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            return tuple(
                _typed(kind, item, f"{place}[{index}]")
                for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
            )
    elif origin is dict and isinstance(value, Mapping):
        names = [_typed(arguments[0], name, f"a name in {place}") for name in value]
        return {name: _typed(arguments[1], value[name], _joined(place, shown_name(name))) for name in names}
    elif _is_plain(hint, origin, arguments, value):
        return float(value) if hint is float else value
    raise ValueError(f"{place} must be {describe(hint)}; got {shown(value)}")


def has_type(value: Any, hint: Any) -> bool:
    """True if a value is of a declared type."""
    try:
        _typed(hint, value, "")
    except ValueError:
        return False
    return True


def _is_plain(hint: Any, origin: Any, arguments: tuple[Any, ...], value: Any) -> bool:
    """True for a value of a type without items. A float may be written as a whole number; a bool is no number."""
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if hint is float:
        return type(value) in (int, float) and -LARGEST <= value <= LARGEST
    if hint is int:
        return type(value) is int and -LARGEST_WHOLE <= value <= LARGEST_WHOLE
    if hint is str:
        return type(value) is str and len(value) <= LONGEST_TEXT and "\0" not in value
    return type(value) is hint


def describe(hint: Any) -> str:
    """Return a declared type in words: "a list of 2 items, each a whole number"."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is Literal:
        return " or ".join(str(choice) for choice in arguments)
    if origin is tuple:
        count = "items" if arguments[-1] is Ellipsis else f"{len(arguments)} items"
        return f"a list of {count}, each {describe(arguments[0])}"
    if origin is dict or dataclasses.is_dataclass(hint):
        return "an object"
    return WORDS[hint]


def shown(value: Any) -> str:
    """Return a wrong value for an error, in at most 60 letters and one line."""
    if isinstance(value, Mapping | list | tuple):
        return f"{'an object' if isinstance(value, Mapping) else 'a list'} of {len(value)} items"
    if isinstance(value, int) and abs(value) > 10**SHOWN:
        return "a whole number of more than 60 digits"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}..."


def shown_name(name: str) -> str:
    """Return a field's name from a file, in at most 60 letters and one line."""
    return name if name.isidentifier() and len(name) <= SHOWN else shown(name)


def require(holds: bool, name: str, condition: str, value: Any) -> None:
    """Raise ValueError, naming the field and what its value must be, unless the condition holds."""
    if not holds:
        raise ValueError(f"{name} must be {condition}; got {value!r}")


def require_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise ValueError, naming the field and its choices, unless the value is a choice."""
    require(value in choices, name, f"one of {', '.join(map(str, choices))}", value)


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
