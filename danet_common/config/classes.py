"""Names and colours of the classes of a data set."""

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
    """Return the classes of these colours; in the names an underscore stands for a space."""
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
    """Return the classes of names that commas separate, in the colours of PASCAL VOC's rule."""
    classes = listed(names)
    return ClassSet(classes, voc_colour_map(len(classes)))


def listed(names: str) -> tuple[str, ...]:
    """Return the names that commas separate."""
    return tuple(name.strip() for name in names.split(","))


def voc_colour_map(count: int) -> tuple[Colour, ...]:
    """Return the first colours of PASCAL VOC's rule: bits 0, 3, 6, ... of a label, reversed, are its red."""
    return tuple((_spread(label), _spread(label >> 1), _spread(label >> 2)) for label in range(count))


def _spread(label: int) -> int:
    """Return bits 0, 3, 6, ... of a label in reverse order, as a byte."""
    return sum((label >> (3 * position) & 1) << (7 - position) for position in range(8))
