"""Whether a value that came from a file is of the type that a config's field declares."""

from __future__ import annotations

import math
import types
from typing import Any, Literal, Union, get_args, get_origin


def is_of_type(value: Any, hint: Any) -> bool:
    """Whether `value` is of a type made of int, float, bool, str, None, Literal, tuples and unions.

    A float must be finite and may be written as a whole number; a bool is no number.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(is_of_type(value, argument) for argument in arguments)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin is tuple:
        if type(value) is not tuple:
            return False
        kinds = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
        return len(kinds) == len(value) and all(map(is_of_type, value, kinds))
    if hint is float:
        return type(value) in (int, float) and abs(value) < math.inf
    return type(value) is hint
