"""One line of a list of classes: a name, and where the line has them its number and its colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from danet_common.config.classes import Colour

LARGEST_NUMBER = 65535  # in a label file of 16 bits a pixel
SHAPES = {  # numbers before the name, numbers after it -> where the class's number is among them; the rest is a colour
    (0, 0): None,
    (1, 0): 0,
    (0, 1): 0,
    (0, 3): None,
    (3, 0): None,
    (1, 3): 0,
    (3, 1): 3,
}
NUMBER_COLUMNS = ("id", "ids", "index", "idx", "value", "number")
NAME_COLUMNS = ("name", "names", "class", "classes", "classname", "class_name", "label", "labels", "category")
COLOUR_COLUMNS = (("r", "g", "b"), ("red", "green", "blue"))
WHOLE_COLOURS = ("color", "colour", "rgb", "hex")


class RowError(ValueError):
    """A line that cannot be read, or that can be read in more than one way."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


@dataclass(frozen=True)
class Row:
    """One class. `shape`: how many numbers stood before the name and after it."""

    line: int
    name: str
    number: int | None = None
    colour: Colour | None = None
    shape: tuple[int, int] = (0, 0)
    text: str = ""


def row_of_words(line: int, text: str) -> Row:
    """A line whose words are separated by spaces: `0: sky (128, 128, 128)`. Raises RowError."""
    plain = re.sub(r"#([0-9a-fA-F]{6})\b", lambda match: " {} {} {} ".format(*bytes.fromhex(match[1])), text)
    plain = re.sub(r"\s+#\s.*$", "", plain)  # a comment at the end
    plain = re.sub(r"[(\[]?\b(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*[)\]]?", r" \1 \2 \3 ", plain)
    plain = re.sub(r"[(\[]\s*(\d+)\s+(\d+)\s+(\d+)\s*[)\]]", r" \1 \2 \3 ", plain)
    plain = re.sub(r"^(\d+)\s*[:.)=-]\s+|^(\d+)[:=]", lambda match: f"{match[1] or match[2]} ", plain)
    plain = re.sub(r"\s*[:=]\s*(?=\d)", " ", plain)
    words = plain.split()
    before = next((place for place, word in enumerate(words) if not word.isdecimal()), len(words))
    if before == len(words):
        return _all_numbers(line, words, text)
    after = next(place for place, word in enumerate(reversed(words)) if not word.isdecimal())
    name = " ".join(words[before : len(words) - after])
    numbers = [int(word) for word in (*words[:before], *words[len(words) - after :])]
    return _row(line, name, numbers, (before, after), text)


def row_of_cells(line: int, cells: Sequence[str], header: Sequence[str] | None = None) -> Row:
    """A line of CSV; without a header, the one cell that is no number is the name. Raises RowError."""
    text = ",".join(cells)
    if header is not None:
        if len(cells) != len(header):
            raise RowError(line, f"has {len(cells)} columns, the header {len(header)}; write name,r,g,b in each")
        return _row_by_header(line, dict(zip(header, cells, strict=True)), text)
    flat = [word for cell in cells for word in _flat(cell)]
    names = [place for place, cell in enumerate(flat) if not cell.isdecimal()]
    if len(names) != 1:
        raise RowError(line, f"{text!r}: one column must be a name and the others numbers, such as sky,128,128,128")
    place = names[0]
    numbers = [int(cell) for cell in flat if cell.isdecimal()]
    return _row(line, flat[place], numbers, (place, len(flat) - place - 1), text)


def uniform(rows: list[Row]) -> list[Row]:
    """Rows that are all of one form. Raises RowError for the first that is not.

    A colour may be missing. One number behind every name is part of the names where they are not different without it.
    """
    if not rows:
        return rows
    shapes = {row.shape for row in rows}
    if shapes == {(0, 1)} and len({row.name for row in rows}) < len(rows):
        return [replace(row, name=row.text, number=None) for row in rows]
    if shapes - {(0, 0), (0, 3)} and len(shapes) > 1:
        common = max(shapes, key=lambda shape: sum(row.shape == shape for row in rows))
        odd = next(row for row in rows if row.shape != common)
        raise RowError(
            odd.line,
            f"{odd.text[:60]!r} is of another form than the other lines; write all as 0 sky, or as sky 128 128 128",
        )
    return rows


def _row(line: int, name: str, numbers: list[int], shape: tuple[int, int], text: str) -> Row:
    place: int | None
    if shape not in SHAPES and sum(shape) == 4:
        raise RowError(line, f"{text[:60]!r}: which of the four numbers is the class? Write 0 sky 128 128 128")
    if shape not in SHAPES:
        raise RowError(line, f"{text[:60]!r}: {len(numbers)} numbers; write sky, 0 sky, or sky 128 128 128")
    place = SHAPES[shape]
    number = None if place is None else numbers[place]
    if number is not None and number > LARGEST_NUMBER:
        raise RowError(line, f"{number} is no value of a label file; they are from 0 to {LARGEST_NUMBER}")
    rest = [value for position, value in enumerate(numbers) if position != place]
    return Row(line, name, number, _colour(line, rest) if rest else None, shape, text)


def _all_numbers(line: int, words: list[str], text: str) -> Row:
    """A line of numbers alone: the name of a class may be a number, with its colour behind it."""
    if len(words) == 1:
        return Row(line, words[0], None, None, (0, 0), text)
    if len(words) == 4:
        return Row(line, words[0], None, _colour(line, [int(word) for word in words[1:]]), (0, 3), text)
    raise RowError(line, f"{text[:60]!r} has no name; write sky, 0 sky, or sky 128 128 128")


def _row_by_header(line: int, cells: dict[str, str], text: str) -> Row:
    names = [column for column in NAME_COLUMNS if column in cells]
    if not names or not cells[names[0]]:
        raise RowError(line, f"{text[:60]!r} has no name; the header needs a column name")
    columns = next((columns for columns in COLOUR_COLUMNS if set(columns) <= cells.keys()), None)
    one = next((column for column in WHOLE_COLOURS if column in cells), None)
    parts = [cells[column] for column in columns] if columns else _flat(cells[one]) if one else []
    if not all(part.isdecimal() for part in parts) or len(parts) not in (0, 3):
        raise RowError(line, f"{text[:60]!r}: a colour is three numbers from 0 to 255")
    numbered = [column for column in (*NUMBER_COLUMNS, "label") if column in cells and column != names[0]]
    if numbered and not cells[numbered[0]].isdecimal():
        raise RowError(line, f"{text[:60]!r}: {cells[numbered[0]]!r} is no number of a class")
    number = int(cells[numbered[0]]) if numbered else None
    colour = _colour(line, [int(part) for part in parts]) if parts else None
    return Row(line, cells[names[0]], number, colour, (1, 3), text)


def _flat(cell: str) -> list[str]:
    """A cell, or the three numbers that a cell holds: `128 128 128`, `(128, 128, 128)`, `#808080`."""
    match = re.fullmatch(r"#([0-9a-fA-F]{6})", cell)
    if match:
        return [str(value) for value in bytes.fromhex(match[1])]
    match = re.fullmatch(r"[(\[]?\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)\s*[)\]]?", cell)
    return list(match.groups()) if match else [cell]


def _colour(line: int, values: list[int]) -> Colour:
    if len(values) != 3 or max(values) > 255:
        raise RowError(line, f"a colour is three numbers from 0 to 255; got {' '.join(map(str, values))}")
    red, green, blue = values
    return red, green, blue
