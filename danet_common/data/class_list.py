"""Read `classes.txt` and files like it, in the forms that people have; an unreadable line is named in the error.

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

from danet_common.config.classes import ClassSet, Colour, voc_colour_map
from danet_common.data.class_json import classes_of_json
from danet_common.data.class_row import (
    COLOUR_COLUMNS,
    NAME_COLUMNS,
    NUMBER_COLUMNS,
    WHOLE_COLOURS,
    Row,
    RowError,
    row_of_cells,
    row_of_words,
    uniform,
)
from danet_common.data.dataset import IGNORE, DataError
from danet_common.data.listing import text_of

LONGEST_NAME = 200
HEADERS = {*NAME_COLUMNS, *NUMBER_COLUMNS, *COLOUR_COLUMNS[0], *COLOUR_COLUMNS[1], *WHOLE_COLOURS}
LISTS = re.compile(r"(names|classes|labels)\s*:\s*(.*)", re.IGNORECASE)
YAML_REST = re.compile(r"(nc|path|train|val|test|download)\s*:.*", re.IGNORECASE)
CVAT = re.compile(r"(?P<name>[^:]+):(?P<colour>\d+\s*,\s*\d+\s*,\s*\d+):[^:]*:[^:]*")
TRIPLE = re.compile(r"([^,;\t]*[^,;\t\d\s:][:\s]\s*)?[(\[]?\d+\s*,\s*\d+\s*,\s*\d+[)\]]?(\s+[^,;\t\d][^,;\t]*)?")
FORM = "write one class a line: its name, or name r g b"


@dataclass(frozen=True)
class ClassList:
    """What a list of classes says.

    classes  names and colours, in the order of the labels; colours that are not given are VOC's
    colours  those given, None for a class without
    values   of the classes in the label files: their numbers where the list has them, else 0, 1, ...
    """

    classes: ClassSet
    colours: tuple[Colour | None, ...]
    values: tuple[int, ...]


def read_class_list(path: Path) -> ClassList:
    """Read a list of classes. Raises DataError naming the line where its form is not known or more than one is."""
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
    faults = [f"{path}: the class {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not 1 <= len(names) <= IGNORE:
        faults.append(f"{path}: there must be from 1 to {IGNORE} classes; got {len(names)}")
    if faults:
        raise DataError(*faults)
    colours = tuple(row.colour for row in rows)
    shown = tuple(colour or other for colour, other in zip(colours, voc_colour_map(len(rows)), strict=True))
    return ClassList(ClassSet(names, shown), colours, values)


def _require_classes(rows: Sequence[Row]) -> None:
    """Raise RowError for a name that no class has, and for a number that two have."""
    for row in rows:
        if not row.name or len(row.name) > LONGEST_NAME or not row.name.isprintable():
            raise RowError(row.line, f"a class's name must have 1 to {LONGEST_NAME} letters; {FORM}")
        if re.search(r"[\[\]{}\"=]|^'|'$|[,;:]$", row.name):
            raise RowError(row.line, f"{row.name[:40]!r} looks like part of another form than this list's; {FORM}")
        if row.name.lower().strip("_") == "ignore" and row.name.startswith("__"):
            raise RowError(row.line, f"{row.name} is no class of the label files; leave the line out")
    numbers = [row.number for row in rows if row.number is not None]
    for row in rows:
        if row.number is not None and numbers.count(row.number) > 1:
            raise RowError(row.line, f"the number {row.number} is there twice; give each class one of its own")


def _rows(text: str) -> list[Row]:
    """The classes of any form."""
    if text.lstrip()[:1] in ("[", "{", "("):
        return classes_of_json(text)
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not _is_comment(line)]
    if all(re.fullmatch(r'"[^"]*"', line) for _, line in lines):
        return [Row(number, line[1:-1].strip()) for number, line in lines]
    if not lines:
        return []
    inner = _yaml(lines)
    if isinstance(inner, str):
        return [Row(lines[0][0], name.strip().strip("'\"")) for name in inner.split(",")]
    lines = inner
    if all(CVAT.fullmatch(line) for _, line in lines):
        return [row_of_words(number, line.rstrip(":").replace(":", " ", 1)) for number, line in lines]
    if all(TRIPLE.fullmatch(line) for _, line in lines):
        return uniform([row_of_words(number, line) for number, line in lines])
    for separator in ("\t", ";", ","):
        if all(separator in line for _, line in lines):
            return _separated(lines, separator)
    if lines[0][1].lower() in NAME_COLUMNS:
        raise RowError(lines[0][0], f"{lines[0][1]!r} is a header or a class? Leave the header out; {FORM}")
    words = [word.lower() for word in lines[0][1].split()]
    headed = len(words) > 1 and len(lines) > 1 and _is_header(words)
    return uniform([row_of_words(number, line) for number, line in lines[headed:]])


def _is_header(words: list[str]) -> bool:
    """True where all words are those of columns, and one is that of the names."""
    return {*words} <= HEADERS and not {*words}.isdisjoint(NAME_COLUMNS)


def _is_comment(line: str) -> bool:
    """True for a line that begins with # or //, unless # begins a colour and a name follows."""
    return line.startswith(("#", "//")) and not re.match(r"#[0-9a-fA-F]{6}[\s,;]+\S", line)


def _yaml(lines: list[tuple[int, str]]) -> str | list[tuple[int, str]]:
    """The lines of a YAML list without its marks, or what is in the brackets of `names: [a, b]`."""
    heads = [index for index, (_, line) in enumerate(lines) if LISTS.fullmatch(line)]
    rest = [line for line in lines if not YAML_REST.fullmatch(line[1])]
    if len(heads) == 1 and LISTS.fullmatch(rest[0][1]):
        match = LISTS.fullmatch(rest[0][1])
        value = match[2].strip() if match else ""
        if value.startswith("[") and value.endswith("]") and len(rest) == 1:
            return value[1:-1]
        if not value and len(rest) > 1:
            lines = rest[1:]
    if all(line.startswith("- ") for _, line in lines):
        return [(number, line[2:].strip().strip("'\"")) for number, line in lines]
    return lines


def _separated(lines: list[tuple[int, str]], separator: str) -> list[Row]:
    """Rows of CSV, with a header or without."""
    cells = [
        (number, [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))])
        for number, line in lines
    ]
    header = [cell.lower().replace(" ", "_") for cell in cells[0][1]]
    if len(HEADERS & {*header}) >= 2 and not {*header}.isdisjoint(NAME_COLUMNS):
        return uniform([row_of_cells(number, row, header) for number, row in cells[1:]])
    if len(cells) == 1 and all(cell and not cell.isdecimal() for cell in cells[0][1]):
        return [Row(cells[0][0], name) for name in cells[0][1]]
    widths = {len([cell for cell in row if cell]) for _, row in cells}
    if len(widths) > 1:
        number = next(
            number for number, row in cells if len([c for c in row if c]) != len([c for c in cells[0][1] if c])
        )
        raise RowError(number, "has another number of columns than the first line; write name,r,g,b in each")
    return uniform([row_of_cells(number, [cell for cell in row if cell]) for number, row in cells])
