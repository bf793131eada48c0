"""Classes of the values and colours in label files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from danet_common.config.classes import Colour
from danet_common.data.dataset import IGNORE, DataError
from danet_common.data.label_settings import LabelSettings

BLACK_AND_WHITE = [(0, 0, 0), (255, 255, 255)]
HINT = "--set palette_labels=index or palette_labels=colour says which counts"


@dataclass(frozen=True)
class LabelTable:
    """Classes of one data set's label files.

    classes       file value -> class, or IGNORE
    colours       RGB -> class, IGNORE, or None for a colour of 2 classes; empty without colours
    palette       `LabelSettings.palette_labels`
    void_by_user  True if the user's label map says that 255 is void
    levels        grey level -> class, or IGNORE, if every class has its own grey; else empty
    mapped        file values in the user's label map
    """

    classes: Mapping[int, int]
    colours: Mapping[Colour, int | None] = field(default_factory=dict)
    palette: str = "auto"
    void_by_user: bool = False
    levels: Mapping[int, int] = field(default_factory=dict)
    mapped: tuple[int, ...] = ()

    def with_settings(self, title: str, num_classes: int, settings: LabelSettings) -> LabelTable:
        """Return the table with a user's settings applied. Raises DataError for an unknown class."""
        unknown = [f"{value}:{label}" for value, label in settings.label_map if num_classes <= label != IGNORE]
        if unknown:
            raise DataError(
                f"{title}: label_map={unknown[0]}: there is no such class; classes are 0 to {num_classes - 1}, or void"
            )
        classes = dict(self.classes)
        if settings.reduce_zero_label:
            classes = {0: IGNORE, IGNORE: IGNORE, **{label + 1: label for label in range(min(num_classes, 254))}}
        changes = dict(settings.label_map)
        colours = {
            colour: label if label is None else changes.get(label, label) for colour, label in self.colours.items()
        }
        by_value = settings.reduce_zero_label or any(self.levels.get(value, value) != value for value in changes)
        return replace(
            self,
            classes=classes | changes,
            levels={} if by_value else {level: changes.get(label, label) for level, label in self.levels.items()},
            mapped=tuple(changes),
            colours=colours,
            palette=settings.palette_labels,
            void_by_user=changes.get(IGNORE) == IGNORE,
        )


def label_table(classes: Mapping[int, int], ignored: Iterable[int] = ()) -> LabelTable:
    """Return a table of file values; 255 and `ignored` are void, all further values are errors."""
    return LabelTable({**dict.fromkeys((*ignored, IGNORE), IGNORE), **classes})


def plain_table(num_classes: int, first: int = 0, ignored: Iterable[int] = ()) -> LabelTable:
    """Return a table of consecutive file values; `first` is class 0."""
    return label_table({first + label: label for label in range(num_classes)}, ignored)


def with_colours(table: LabelTable, colours: Sequence[Colour | None], void: Iterable[Colour] = ()) -> LabelTable:
    """Return the table with the colours of classes (None: no colour) and of void."""
    meaning: dict[Colour, int | None] = dict.fromkeys(void, IGNORE)
    for label, colour in enumerate(colours):
        if colour is not None:
            meaning[colour] = None if colour in meaning else label
    levels = {red: label for (red, green, blue), label in meaning.items() if red == green == blue and label is not None}
    return replace(table, colours=meaning, levels=levels if len(levels) == len(colours) == len(meaning) else {})


def palette_encoding(
    used: Sequence[int], palette: Sequence[Colour], table: LabelTable, renumbered: bool
) -> Literal["number", "palette", "grey"]:
    """Return what the classes of a palette file are: its indices, its colours or its grey levels.

    An index is the class if the file was written as labels. If a program chose the palette (quantised RGB, an optimised
    grey file, every GIF), only the colour is known.

    used        indices of the palette that pixels have
    renumbered  True for GIF, whose writers choose the indices

    Raises ValueError if indices and colours are both known and say different classes.
    """
    colours = [palette[index] if index < len(palette) else None for index in used]
    by_index = [table.classes.get(index) for index in used]
    by_colour = [None if colour is None else table.colours.get(colour) for colour in colours]
    grey = all(colour is not None and _is_grey(colour) for colour in colours)
    by_grey = [table.classes.get(colour[0]) if colour and grey else None for colour in colours]
    if table.palette == "index":
        return "number"
    if table.palette == "colour":
        if not table.colours and not grey:
            raise ValueError("labels by colour, and no class has a colour; name them in classes.csv: name,r,g,b")
        return "palette" if table.colours else "grey"
    if renumbered and by_index not in (by_colour, by_grey):
        if table.colours and None not in by_colour:
            return "palette"
        if not grey:
            raise ValueError("programs that write GIF renumber its colours; save labels as PNG")
        return "grey"
    if table.colours and None not in by_colour and by_colour != by_index:
        if None in by_index or all(colour in table.colours for colour in _without_padding(palette)):
            return "palette"
        raise ValueError(f"the indices say classes {_listed(by_index)}, the colours {_listed(by_colour)}; {HINT}")
    if table.colours and None in by_index and any(label is not None for label in by_colour):
        return "palette"  # the error then names the unknown colours
    if not grey or None in by_grey or by_grey == by_index or not all(map(_is_grey, palette)):
        return "number"
    if None in by_index:
        return "grey"
    if list(_without_padding(palette)) == BLACK_AND_WHITE:
        return "number"  # like a file of 1 bit a pixel
    raise ValueError(f"the indices say classes {_listed(by_index)}, the grey levels {_listed(by_grey)}; {HINT}")


def _without_padding(palette: Sequence[Colour]) -> Sequence[Colour]:
    """Return a palette of 2 or more colours without the black entries that fill its end."""
    length = len(palette)
    while length > 2 and palette[length - 1] == (0, 0, 0):
        length -= 1
    return palette[:length]


def _is_grey(colour: Colour) -> bool:
    return colour[0] == colour[1] == colour[2]


def _listed(labels: Sequence[int | None]) -> str:
    return ", ".join("none" if label is None else "void" if label == IGNORE else str(label) for label in labels[:6])
