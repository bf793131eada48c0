"""Read `classes.txt` and files like it; the error names an unreadable line.

one name a line                       sky, road, ...; lines that begin with # are comments
name and colour                       sky 128 128 128 or 128 128 128 sky or sky #808080
number and name                       0 sky, 0: sky, sky 0: the number is the value in the label files
number, name and colour               0 sky 128 128 128
CSV with commas, semicolons or tabs   the same columns, with a header (name,r,g,b) or without; CamVid's class_dict.csv
JSON                                  ["sky", "road"], {"0": "sky"}, {"sky": 0}, {"sky": [128, 128, 128]}
YAML's simplest lists                 names: [sky, road], and lines "- sky" or "0: sky" below names:
CVAT's labelmap.txt                   sky:128,128,128::
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danet_common.config.classes import ClassSet, Colour, voc_colour_map
from danet_common.data.class_row import (
    CHANNEL_COLUMNS,
    COLOUR_COLUMNS,
    NAME_COLUMNS,
    NUMBER_COLUMNS,
    Row,
    RowError,
    row_of_cells,
    row_of_words,
    uniform,
)
from danet_common.data.dataset import IGNORE, DataError
from danet_common.data.listing import text_of
from danet_common.files.strict_json import parse_json

LONGEST_NAME = 200
HEADERS = {*NAME_COLUMNS, *NUMBER_COLUMNS, *CHANNEL_COLUMNS[0], *CHANNEL_COLUMNS[1], *COLOUR_COLUMNS}
LISTS = re.compile(r"(names|classes|labels)\s*:\s*(.*)", re.IGNORECASE)
YAML_REST = re.compile(r"(nc|path|train|val|test|download)\s*:.*", re.IGNORECASE)
CVAT = re.compile(r"(?P<name>[^:]+):(?P<colour>\d+\s*,\s*\d+\s*,\s*\d+):[^:]*:[^:]*")
TRIPLE = re.compile(r"([^,;\t]*[^,;\t\d\s:][:\s]\s*)?[(\[]?\d+\s*,\s*\d+\s*,\s*\d+[)\]]?(\s+[^,;\t\d][^,;\t]*)?")
FORM = "write one class a line: its name, or name r g b"
JSON_KEYS = ("classes", "names", "labels", "categories", "class_names")
JSON_FORM = 'write ["sky", "road"], {"0": "sky", "1": "road"} or {"sky": [128, 128, 128]}'

Line = tuple[int, str]  # number from 1, text


@dataclass(frozen=True)
class ClassList:
    """The classes in a file.

    classes  names and colours, in the order of the labels; missing colours are VOC's
    colours  colours in the file, None for a class without
    values   of the classes in the label files: their numbers in the list, else 0, 1, ...
    """

    classes: ClassSet
    colours: tuple[Colour | None, ...]
    values: tuple[int, ...]


def read_class_list(path: Path) -> ClassList:
    """Read a list of classes. Raises DataError naming a line of unknown or mixed form."""
    try:
        rows = _rows(text_of(path))
        _require_classes(rows)
    except RowError as error:
        raise DataError(f"{path}: {error}") from None
    if None not in (row.number for row in rows):
        rows = sorted(rows, key=lambda row: row.number or 0)
        values = tuple(row.number or 0 for row in rows)
    else:
        values = tuple(range(len(rows)))
    names = tuple(row.name for row in rows)
    errors = [f"{path}: the class {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not 1 <= len(names) <= IGNORE:
        errors.append(f"{path}: there must be from 1 to {IGNORE} classes; got {len(names)}")
    if errors:
        raise DataError(*errors)
    colours = tuple(row.colour for row in rows)
    palette = tuple(colour or default for colour, default in zip(colours, voc_colour_map(len(rows)), strict=True))
    return ClassList(ClassSet(names, palette), colours, values)


def _require_classes(rows: Sequence[Row]) -> None:
    """Raise RowError for an invalid name or a repeated number."""
    numbers = [row.number for row in rows if row.number is not None]
    for row in rows:
        if not row.name or len(row.name) > LONGEST_NAME or not row.name.isprintable():
            raise RowError(row.line, f"a class's name must have 1 to {LONGEST_NAME} letters; {FORM}")
        if re.search(r"[\[\]{}\"=]|^'|'$|[,;:]$", row.name):
            raise RowError(row.line, f"{row.name[:40]!r} looks like part of another form than this list's; {FORM}")
        if row.name.lower().strip("_") == "ignore" and row.name.startswith("__"):
            raise RowError(row.line, f"{row.name} is no class of the label files; leave the line out")
        if row.number is not None and numbers.count(row.number) > 1:
            raise RowError(row.line, f"the number {row.number} is there twice; give each class one of its own")


def _rows(text: str) -> list[Row]:
    """Parse any form."""
    if text.lstrip()[:1] in ("[", "{", "("):
        return _rows_of_json(text)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not _is_comment(line)]
    if all(re.fullmatch(r'"[^"]*"', line) for _, line in lines):
        return [Row(number, line[1:-1].strip()) for number, line in lines]
    content = _yaml(lines)
    if isinstance(content, str):
        return [Row(lines[0][0], name.strip().strip("'\"")) for name in content.split(",")]
    lines = content
    if all(CVAT.fullmatch(line) for _, line in lines):
        return [row_of_words(number, line.rstrip(":").replace(":", " ", 1)) for number, line in lines]
    if all(TRIPLE.fullmatch(line) for _, line in lines):
        return uniform([row_of_words(number, line) for number, line in lines])
    for separator in ("\t", ";", ","):
        if all(separator in line for _, line in lines):
            return _rows_of_csv(lines, separator)
    if lines[0][1].lower() in NAME_COLUMNS:
        raise RowError(lines[0][0], f"{lines[0][1]!r} is a header or a class? Leave the header out; {FORM}")
    words = lines[0][1].lower().split()
    has_header = len(words) > 1 and len(lines) > 1 and HEADERS.issuperset(words) and _names_names(words)
    return uniform([row_of_words(number, line) for number, line in lines[has_header:]])


def _names_names(words: Sequence[str]) -> bool:
    """True if a header has a column of names."""
    return not {*words}.isdisjoint(NAME_COLUMNS)


def _is_comment(line: str) -> bool:
    """True for a line that begins with # or //, unless # begins a colour and a name follows."""
    return line.startswith(("#", "//")) and not re.match(r"#[0-9a-fA-F]{6}[\s,;]+\S", line)


def _yaml(lines: list[Line]) -> str | list[Line]:
    """Return the lines of a YAML list without its marks, or the text in the brackets of `names: [a, b]`."""
    heads = [line for _, line in lines if LISTS.fullmatch(line)]
    rest = [line for line in lines if not YAML_REST.fullmatch(line[1])]
    match = LISTS.fullmatch(rest[0][1]) if len(heads) == 1 else None
    if match:
        value = match[2].strip()
        if value.startswith("[") and value.endswith("]") and len(rest) == 1:
            return value[1:-1]
        if not value and len(rest) > 1:
            lines = rest[1:]
    if all(line.startswith("- ") for _, line in lines):
        return [(number, line[2:].strip().strip("'\"")) for number, line in lines]
    return lines


def _rows_of_csv(lines: list[Line], separator: str) -> list[Row]:
    """Parse CSV, with a header or without."""
    cells = [
        (number, [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))])
        for number, line in lines
    ]
    first_line, first = cells[0]
    header = [cell.lower().replace(" ", "_") for cell in first]
    if len(HEADERS.intersection(header)) >= 2 and _names_names(header):
        return uniform([row_of_cells(number, row, header) for number, row in cells[1:]])
    if len(cells) == 1 and all(cell and not cell.isdecimal() for cell in first):
        return [Row(first_line, name) for name in first]
    cells = [(number, [cell for cell in row if cell]) for number, row in cells]
    for number, row in cells:
        if len(row) != len(cells[0][1]):
            raise RowError(number, "has another number of columns than the first line; write name,r,g,b in each")
    return uniform([row_of_cells(number, row) for number, row in cells])


def _rows_of_json(text: str) -> list[Row]:
    """Parse JSON: names, objects with a name, or names by their numbers. Raises RowError for any other form."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise RowError(1, f"begins like JSON and is none ({error}); {JSON_FORM}") from None
    if isinstance(value, dict):
        lists = [key for key in JSON_KEYS if isinstance(value.get(key), list | dict)]
        value = value[lists[0]] if len(lists) == 1 else value
    if isinstance(value, list):
        return [_row_of_item(index, item) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return [_row_of_key(key, item) for key, item in value.items()]
    raise RowError(1, JSON_FORM)


def _row_of_item(index: int, item: Any) -> Row:
    if isinstance(item, str):
        return Row(1, item)
    if not isinstance(item, dict):
        raise RowError(1, f"entry {index} is no name; {JSON_FORM}")
    cells = {str(key).lower(): _json_cell(value) for key, value in item.items()}
    return row_of_cells(1, list(cells.values()), list(cells))


def _row_of_key(key: str, item: Any) -> Row:
    if key.isdecimal() and isinstance(item, str):
        return Row(1, item, int(key))
    if type(item) is int and item >= 0:
        return Row(1, key, item)
    if isinstance(item, list) and len(item) == 3:
        return row_of_cells(1, [key, _json_cell(item)], ["name", "rgb"])
    raise RowError(1, f"{key[:40]!r}: {JSON_FORM}")


def _json_cell(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
