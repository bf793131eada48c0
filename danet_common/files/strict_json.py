"""Strict JSON: no NaN, no infinity, no duplicate key."""

from __future__ import annotations

import json
import math
from typing import Any

MOST_DIGITS = 310  # of a whole number: no float has more; Python itself refuses 4300, in words about its settings


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; bytes are UTF-8. Raises ValueError."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        return json.loads(
            text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole, object_pairs_hook=_object
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _whole(word: str) -> int:
    if len(word) > MOST_DIGITS:
        raise ValueError(f"{word[:20]}... is a whole number of more than {MOST_DIGITS} digits")
    return int(word)


def _finite(word: str) -> float:
    number = float(word)
    return number if math.isfinite(number) else _refuse(word[:20])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is there twice")
    return result
