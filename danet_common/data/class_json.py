"""Lists of classes in JSON: names, objects with a name, or names by their numbers."""

from __future__ import annotations

from typing import Any

from danet_common.data.class_row import Row, RowError, row_of_cells
from danet_common.files.strict_json import parse_json

KEYS = ("classes", "names", "labels", "categories", "class_names")
FORM = 'write ["sky", "road"], {"0": "sky", "1": "road"} or {"sky": [128, 128, 128]}'


def classes_of_json(text: str) -> list[Row]:
    """The classes of a JSON text. Raises RowError for any other form."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise RowError(1, f"begins like JSON and is none ({error}); {FORM}") from None
    if isinstance(value, dict):
        inner = [key for key in KEYS if isinstance(value.get(key), list | dict)]
        if len(inner) == 1:
            value = value[inner[0]]
    if isinstance(value, list):
        return [_listed(place, item) for place, item in enumerate(value)]
    if isinstance(value, dict):
        return [_keyed(key, item) for key, item in value.items()]
    raise RowError(1, FORM)


def _listed(place: int, item: Any) -> Row:
    if isinstance(item, str):
        return Row(1, item)
    if not isinstance(item, dict):
        raise RowError(1, f"entry {place} is no name; {FORM}")
    cells = {str(key).lower(): _text(value) for key, value in item.items()}
    return row_of_cells(1, list(cells.values()), list(cells))


def _keyed(key: str, item: Any) -> Row:
    if key.isdecimal() and isinstance(item, str):
        return Row(1, item, int(key))
    if type(item) is int and item >= 0:
        return Row(1, key, item)
    if isinstance(item, list) and len(item) == 3:
        return row_of_cells(1, [key, _text(item)], ["name", "rgb"])
    raise RowError(1, f"{key[:40]!r}: {FORM}")


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
