"""Parse a line of a class list: a name, and its number and colour if the line has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from danet_common.config.classes import Colour

LARGEST_NUMBER = 65535  # in a label file of 16 bits a pixel
SHAPES = {  # (numbers before the name, numbers after it) -> position of the class's number; the rest is a colour
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
CHANNEL_COLUMNS = (("r", "g", "b"), ("red", "green", "blue"))
COLOUR_COLUMNS = ("color", "colour", "rgb", "hex")


class RowError(ValueError):
    """A line that is unreadable or ambiguous."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


@dataclass(frozen=True)
class Row:
    """A class. `shape` counts the numbers before and after its name; `text` is the line."""

    line: int
    name: str
    number: int | None = None
    colour: Colour | None = None
    shape: tuple[int, int] = (0, 0)
    text: str = ""


def row_of_words(line: int, text: str) -> Row:
    """Parse words separated by spaces: `0: sky (128, 128, 128)`. Raises RowError."""
    plain = re.sub(r"#([0-9a-fA-F]{6})\b", lambda match: " {} {} {} ".format(*bytes.fromhex(match[1])), text)
    plain = re.sub(r"\s+#\s.*$", "", plain)  # a comment at the end
    plain = re.sub(r"[(\[]?\b(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*[)\]]?", r" \1 \2 \3 ", plain)
    plain = re.sub(r"[(\[]\s*(\d+)\s+(\d+)\s+(\d+)\s*[)\]]", r" \1 \2 \3 ", plain)
    plain = re.sub(r"^(\d+)\s*[:.)=-]\s+|^(\d+)[:=]", lambda match: f"{match[1] or match[2]} ", plain)
    plain = re.sub(r"\s*[:=]\s*(?=\d)", " ", plain)
    words = plain.split()
    before = next((index for index, word in enumerate(words) if not word.isdecimal()), len(words))
    if before == len(words):
        return _row_of_numbers(line, words, text)
    after = next(index for index, word in enumerate(reversed(words)) if not word.isdecimal())
    name = " ".join(words[before : len(words) - after])
    numbers = [int(word) for word in (*words[:before], *words[len(words) - after :])]
    return _row(line, name, numbers, (before, after), text)


def row_of_cells(line: int, cells: Sequence[str], header: Sequence[str] | None = None) -> Row:
    """Parse a line of CSV; without a header, the only cell that is no number is the name. Raises RowError."""
    text = ",".join(cells)
    if header is not None:
        if len(cells) != len(header):
            raise RowError(line, f"has {len(cells)} columns, the header {len(header)}; write name,r,g,b in each")
        return _row_of_columns(line, dict(zip(header, cells, strict=True)), text)
    flat = [word for cell in cells for word in _split_colour(cell)]
    names = [index for index, cell in enumerate(flat) if not cell.isdecimal()]
    if len(names) != 1:
        raise RowError(line, f"{text!r}: one column must be a name and the others numbers, such as sky,128,128,128")
    numbers = [int(cell) for cell in flat if cell.isdecimal()]
    return _row(line, flat[names[0]], numbers, (names[0], len(flat) - names[0] - 1), text)


def uniform(rows: list[Row]) -> list[Row]:
    """Return the rows if all have one shape, apart from missing colours. Raises RowError for the first that differs.

    A number after the name belongs to it if the names are not unique otherwise: lane 1, lane 2.
    """
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
    if shape not in SHAPES and sum(shape) == 4:
        raise RowError(line, f"{text[:60]!r}: which of the four numbers is the class? Write 0 sky 128 128 128")
    if shape not in SHAPES:
        raise RowError(line, f"{text[:60]!r}: {len(numbers)} numbers; write sky, 0 sky, or sky 128 128 128")
    position = SHAPES[shape]
    number = None if position is None else numbers.pop(position)
    if number is not None and number > LARGEST_NUMBER:
        raise RowError(line, f"{number} is no value of a label file; they are from 0 to {LARGEST_NUMBER}")
    return Row(line, name, number, _colour(line, numbers) if numbers else None, shape, text)


def _row_of_numbers(line: int, words: list[str], text: str) -> Row:
    """Parse a line of numbers only: a class may be called 1, with a colour or without."""
    if len(words) == 1:
        return Row(line, words[0], text=text)
    if len(words) == 4:
        return Row(line, words[0], None, _colour(line, [int(word) for word in words[1:]]), (0, 3), text)
    raise RowError(line, f"{text[:60]!r} has no name; write sky, 0 sky, or sky 128 128 128")


def _row_of_columns(line: int, cells: dict[str, str], text: str) -> Row:
    """Parse a line of CSV by its header."""
    name = next((column for column in NAME_COLUMNS if column in cells), None)
    if name is None or not cells[name]:
        raise RowError(line, f"{text[:60]!r} has no name; the header needs a column name")
    channels = next((columns for columns in CHANNEL_COLUMNS if {*columns} <= cells.keys()), ())
    colour = next((column for column in COLOUR_COLUMNS if column in cells), None)
    parts = [cells[column] for column in channels] or (_split_colour(cells[colour]) if colour else [])
    if not all(part.isdecimal() for part in parts) or len(parts) not in (0, 3):
        raise RowError(line, f"{text[:60]!r}: a colour is three numbers from 0 to 255")
    number = next((cells[column] for column in (*NUMBER_COLUMNS, "label") if column in cells and column != name), None)
    if number is not None and not number.isdecimal():
        raise RowError(line, f"{text[:60]!r}: {number!r} is no number of a class")
    return Row(
        line,
        cells[name],
        None if number is None else int(number),
        _colour(line, [int(part) for part in parts]) if parts else None,
        text=text,
    )


def _split_colour(cell: str) -> list[str]:
    """Split a cell `128 128 128`, `(128, 128, 128)` or `#808080` into 3 numbers; return any further cell alone."""
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
