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
from danet_common.data.dataset import IGNORE, DataError
from danet_common.data.listing import text_of
from danet_common.files.strict_json import parse_json

LONGEST_NAME = 200
LONGEST_LINE = 300  # letters that are parsed; the name in a longer line is refused
LARGEST_NUMBER = 65535  # in a label file of 16 bits a pixel
NUMBERS = {  # (numbers before the name, numbers after it) -> position of the class's number; the rest is a colour
    (0, 0): None, (1, 0): 0, (0, 1): 0, (0, 3): None, (3, 0): None, (1, 3): 0, (3, 1): 3,
}  # fmt: skip
COLUMNS = {  # of a header -> what they hold; a label is a number beside a name
    **dict.fromkeys(("name", "names", "class", "classes", "classname", "class_name", "category"), "name"),
    **dict.fromkeys(("id", "ids", "index", "idx", "value", "number"), "number"),
    **dict.fromkeys(("color", "colour", "rgb", "hex"), "colour"),
    "label": "name",
    "labels": "name",
    "r": "red",
    "g": "green",
    "b": "blue",
    **{colour: colour for colour in ("red", "green", "blue")},
}
FORM = "write one class a line: its name, name r g b, 0 name or 0 name r g b"
JSON_FORM = 'write ["sky", "road"], {"0": "sky", "1": "road"} or {"sky": [128, 128, 128]}'
JSON_KEYS = ("classes", "names", "labels", "categories", "class_names")
YAML_NAMES = re.compile(r"(names|classes|labels)\s*:\s*(\[.*\])?", re.IGNORECASE)
YAML_REST = re.compile(r"(nc|path|train|val|test|download)\s*:.*", re.IGNORECASE)
HEX = re.compile(r"#([0-9a-fA-F]{6})\b")
LINE = re.compile(r"[(\[]?(?P<before>(?:\d+[\s,;:.=)\]]+)*)(?P<name>.*?)(?P<after>(?:[\s,;:=(\[]+\d+)*)[\s,;:)\]]*")


Line = tuple[int, str]  # number from 1, text


class LineError(ValueError):
    """A line that is unreadable or ambiguous."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


@dataclass(frozen=True)
class Row:
    """A class. `shape` counts the numbers before and after its name."""

    line: int
    text: str
    name: str
    number: int | None = None
    colour: Colour | None = None
    shape: tuple[int, int] = (0, 0)


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
    text = text_of(path)
    try:
        rows = _rows_of_json(text) if text.lstrip()[:1] in ("[", "{") else _rows_of_lines(text)
        _require_classes(rows)
    except LineError as error:
        raise DataError(f"{path}: {error}") from None
    values = tuple(range(len(rows)))
    if None not in (row.number for row in rows):
        rows = sorted(rows, key=lambda row: row.number or 0)
        values = tuple(row.number or 0 for row in rows)
    names = tuple(row.name for row in rows)
    errors = [f"{path}: the class {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not 1 <= len(names) <= IGNORE:
        errors.append(f"{path}: there must be from 1 to {IGNORE} classes; got {len(names)}")
    if errors:
        raise DataError(*errors)
    colours = tuple(row.colour for row in rows)
    palette = tuple(colour or default for colour, default in zip(colours, voc_colour_map(len(rows)), strict=True))
    return ClassList(ClassSet(names, palette), colours, values)


def _require_classes(rows: list[Row]) -> None:
    """Raise LineError for an invalid name or number, or a line of another form than the first."""
    numbers = [row.number for row in rows if row.number is not None]
    for row in rows:
        if not row.name or len(row.name) > LONGEST_NAME or not row.name.isprintable():
            raise LineError(row.line, f"a class's name must have 1 to {LONGEST_NAME} letters; {FORM}")
        if re.search(r"[\[\]{}\"=]|^'|'$|[,;:]$", row.name):
            raise LineError(row.line, f"{row.name[:40]!r} looks like part of another form than this list's; {FORM}")
        if row.name.lower().strip("_") == "ignore" and row.name.startswith("__"):
            raise LineError(row.line, f"{row.name} is no class of the label files; leave the line out")
        if row.number is not None and row.number > LARGEST_NUMBER:
            raise LineError(row.line, f"{row.number} is no value of a label file; they are from 0 to {LARGEST_NUMBER}")
        if row.number is not None and numbers.count(row.number) > 1:
            raise LineError(row.line, f"the number {row.number} is there twice; give each class one of its own")
        if row.shape != rows[0].shape and {row.shape, rows[0].shape} != {(0, 0), (0, 3)}:
            raise LineError(row.line, f"{row.text[:60]!r} is of another form than the first line; {FORM}")


def _rows_of_lines(text: str) -> list[Row]:
    """Parse any form but JSON."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = _without_yaml([(number, line) for number, line in lines if line and not _is_comment(line)])
    if not lines:
        return []
    first_line, first = lines[0]
    separator = next((separator for separator in "\t;," if separator in first), " ")
    cells = [cell.strip() for cell in first.strip("[]").split(separator)]
    if len(lines) == 1 and separator != " " and not any(map(str.isdecimal, re.split(r"\W+", first))):
        return [Row(first_line, cell, cell.strip("'\"")) for cell in cells]
    fields = _fields(cells)
    if fields == ["name"]:
        raise LineError(first_line, f"{first!r} is a header or a class? Leave the header out; {FORM}")
    if separator == " " and len(lines) > 1 and "name" in fields and "" not in fields:
        lines = lines[1:]
    elif len(lines) > 1 and "name" in fields and len(fields) - fields.count("") > 1:
        return [_row_of_csv(*line, fields, separator) for line in lines[1:]]
    rows = [_row_of_words(*line) for line in lines]
    if len(rows) > 1 and all(re.search(r"[\t;,]", row.name) for row in rows):
        raise LineError(first_line, f"{first[:60]!r}: one column must be a name and the others numbers; {FORM}")
    if any(row.shape != (0, 1) for row in rows) or len({row.name for row in rows}) == len(rows):
        return rows
    return [Row(*line, line[1]) for line in lines]  # lane 1, lane 2


def _is_comment(line: str) -> bool:
    """True for a line that begins with # or //, unless # begins a colour and a name follows."""
    return line.startswith(("#", "//")) and not re.match(r"#[0-9a-fA-F]{6}[\s,;]+\S", line)


def _without_yaml(lines: list[Line]) -> list[Line]:
    """Return the lines of a YAML file below `names:`, or what follows `names:` there; all lines without it."""
    if sum(YAML_NAMES.fullmatch(line) is not None for _, line in lines) != 1:
        return lines
    rest = [(number, YAML_NAMES.sub(r"\2", line)) for number, line in lines if not YAML_REST.fullmatch(line)]
    return [(number, line) for number, line in rest if line]


def _row_of_words(line: int, text: str) -> Row:
    """Parse a name with numbers before and after it, separated by spaces, commas, colons or brackets."""
    plain = re.sub(r"\s+#\s.*$|^- ", "", text)  # a comment at the end, or YAML's mark of an item
    plain = _without_hex(plain)[:LONGEST_LINE]
    name, *rest = plain.split() or [""]
    if name.isdecimal() and len(rest) in (0, 3) and all(map(str.isdecimal, rest)):  # a class that is called 7
        return Row(line, text, name, None, _colour(line, rest), (0, len(rest)))
    match = LINE.fullmatch(plain)
    assert match is not None
    before, after = (re.findall(r"\d+", match[part]) for part in ("before", "after"))
    numbers, shape = [*before, *after], (len(before), len(after))
    if not match["name"] or match["name"].isdecimal():
        raise LineError(line, f"{text[:60]!r} has no name; {FORM}")
    if shape not in NUMBERS:
        raise LineError(line, f"{text[:60]!r}: which of {len(numbers)} numbers is the class? {FORM.capitalize()}")
    position = NUMBERS[shape]
    number = None if position is None else int(numbers.pop(position))
    return Row(line, text, match["name"].strip("\"' "), number, _colour(line, numbers), shape)


def _without_hex(text: str) -> str:
    """Write #808080 as 128 128 128."""
    return HEX.sub(lambda match: " {} {} {} ".format(*bytes.fromhex(match[1])), text).strip()


def _fields(header: Sequence[str]) -> list[str]:
    """Return what each column holds by its title; "" if it is unknown."""
    fields = [COLUMNS.get(title.lower().replace(" ", "_"), "") for title in header]
    if fields.count("name") > 1:
        return ["number" if title.lower() == "label" else field for title, field in zip(header, fields, strict=True)]
    return fields


def _row_of_csv(line: int, text: str, fields: Sequence[str], separator: str) -> Row:
    """Parse a line of CSV by its header."""
    cells = next(csv.reader([text], delimiter=separator, skipinitialspace=True))
    return _row_of_cells(line, text, fields, cells)


def _row_of_cells(line: int, text: str, fields: Sequence[str], cells: Sequence[str]) -> Row:
    """Return the class in cells whose content is known."""
    if len(cells) != len(fields):
        raise LineError(line, f"has {len(cells)} columns, the header {len(fields)}; write name,r,g,b in each")
    values = {field: cell.strip() for field, cell in zip(fields, cells, strict=True)}
    number = values.get("number")
    if number is not None and not number.isdecimal():
        raise LineError(line, f"{text[:60]!r}: {number!r} is no number of a class")
    channels = [values[name] for name in ("red", "green", "blue") if name in values]
    colour = re.findall(r"[^\s,()\[\]]+", _without_hex(values.get("colour", "")))
    value = None if number is None else int(number)
    return Row(line, text, values.get("name", ""), value, _colour(line, channels or colour))


def _colour(line: int, channels: Sequence[str]) -> Colour | None:
    """Return the colour of three numbers; None without numbers."""
    if not channels:
        return None
    if len(channels) != 3 or not all(channel.isdecimal() and int(channel) < 256 for channel in channels):
        raise LineError(line, f"a colour is three numbers from 0 to 255; got {' '.join(channels)}")
    red, green, blue = map(int, channels)
    return red, green, blue


def _rows_of_json(text: str) -> list[Row]:
    """Parse JSON: names, objects with a name, or names by their numbers. Raises LineError for any other form."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise LineError(1, f"begins like JSON and is none ({error}); {JSON_FORM}") from None
    if isinstance(value, dict):
        lists = [key for key in JSON_KEYS if isinstance(value.get(key), list | dict)]
        value = value[lists[0]] if len(lists) == 1 else value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [_row_of_json(key, item) for key, item in items]


def _row_of_json(key: str | int, item: Any) -> Row:
    """Parse an item of a list, or a key and its value."""
    match key, item:
        case int(), str():
            return Row(1, item, item)
        case int(), dict():
            cells = [" ".join(map(str, cell)) if isinstance(cell, list) else str(cell) for cell in item.values()]
            return _row_of_cells(1, str(item), _fields(list(item)), cells)
        case str(), str() if key.isdecimal():
            return Row(1, key, item, int(key))
        case str(), int() if type(item) is int and item >= 0:
            return Row(1, key, key, item)
        case str(), list() if len(item) == 3:
            return Row(1, key, key, colour=_colour(1, list(map(str, item))))
    raise LineError(1, f"{str(key)[:40]!r}: {JSON_FORM}")
