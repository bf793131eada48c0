"""What the classes of a data set are called and how they are coloured."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from danet_common.files.regular_file import LIST, read_text

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassSet:
    """The classes of a data set, in the order of their labels."""

    names: tuple[str, ...]
    colours: tuple[Colour, ...]  # RGB


def class_set(**colours: Colour) -> ClassSet:
    """Names, with an underscore for each space, and their colours."""
    return ClassSet(tuple(name.replace("_", " ") for name in colours), tuple(colours.values()))


def read_class_set(name: str) -> ClassSet:
    """Read a published data set's classes from the table `class_sets/NAME.csv`."""
    text = read_text(Path(__file__).with_name("class_sets") / f"{name}.csv", LIST)
    rows = list(csv.DictReader(text.splitlines()))
    return ClassSet(
        tuple(row["name"] for row in rows),
        tuple((int(row["red"]), int(row["green"]), int(row["blue"])) for row in rows),
    )


def voc_class_set(names: str) -> ClassSet:
    """Names, separated by commas, in the colours of PASCAL VOC's rule."""
    separate = listed(names)
    return ClassSet(separate, voc_colour_map(len(separate)))


def listed(names: str) -> tuple[str, ...]:
    """Names that commas separate."""
    return tuple(name.strip() for name in names.split(","))


def voc_colour_map(count: int) -> tuple[Colour, ...]:
    """The first colours of PASCAL VOC's rule: bits 0, 3, 6, ... of a label, from the high bit down, are its red."""
    return tuple((_spread(label), _spread(label >> 1), _spread(label >> 2)) for label in range(count))


def _spread(label: int) -> int:
    """Every third bit of a label, the lowest first in the place of the highest."""
    return sum((label >> (3 * position) & 1) << (7 - position) for position in range(8))
