"""Anyone's own images and labels.

    PATH/classes.txt                          one class a line, in the order of the labels: its name, and its
                                              colour as three numbers where it has one
    PATH/{train,val,...}/{images,labels}/*    or PATH/{images,labels}/{train,val,...}/*
    PATH/{images,labels}/*                    without splits: every split is the whole

A label file is the PNG of the image's name: 0 for the first class, 1 for the second, 255 for void.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.classes import ClassSet, Colour, voc_colour_map
from danet_common.data.dataset import IGNORE, DataError
from danet_common.data.files import FileDataset
from danet_common.data.labels import plain_table
from danet_common.data.listing import first_path, lines_in, pairs_in

LAYOUTS = ("{split}/{kind}", "{kind}/{split}", "{kind}")


def open_folder(root: Path, split: str) -> FileDataset:
    """One split. Raises DataError where the classes are not said."""
    title = "folder"
    places = {layout.format(split=split, kind="images"): layout for layout in LAYOUTS}
    images = first_path(title, root, list(places))
    layout = places[images.relative_to(root).as_posix()]
    labels = first_path(title, root, [layout.format(split=split, kind="labels")])
    classes = _read_classes(first_path(title, root, ["classes.txt"]))
    return FileDataset(f"{title}:{root} {split}", classes, pairs_in(images, labels), plain_table(len(classes.names)))


def _read_classes(path: Path) -> ClassSet:
    """Names and colours, those not given by VOC's rule."""
    lines = [line.split() for line in lines_in(path)]
    given = [_colour(words) for words in lines]
    names = tuple(" ".join(words[: -3 if colour else None]) for words, colour in zip(lines, given, strict=True))
    faults = [f"{path}: the class {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not 1 <= len(names) <= IGNORE:
        faults.append(f"{path}: there must be from 1 to {IGNORE} classes; got {len(names)}")
    if faults:
        raise DataError(*faults)
    rule = voc_colour_map(len(names))
    return ClassSet(names, tuple(colour or other for colour, other in zip(given, rule, strict=True)))


def _colour(words: list[str]) -> Colour | None:
    """The three numbers at the end of a line, if they are there and there is a name before them."""
    if len(words) < 4 or not all(word.isdecimal() and int(word) < 256 for word in words[-3:]):
        return None
    red, green, blue = map(int, words[-3:])
    return red, green, blue
