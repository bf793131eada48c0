"""Classes of the values and colours in label files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import dropwhile

from danet_common.config.classes import Colour
from danet_common.data.dataset import IGNORE, DataError
from danet_common.data.label_settings import LabelSettings

BLACK = (0, 0, 0)
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


def is_read_by_colours(used: Sequence[int], palette: Sequence[Colour], table: LabelTable) -> bool:
    """True if the classes of a palette file are its colours or grey levels, and not its indices.

    An index is the class if the file was written as labels. If a program chose the palette (quantised RGB, an optimised
    grey file), only the colour is known. Raises ValueError if both are known and say different classes.

    used  indices of the palette that pixels have
    """
    if table.palette != "auto":
        return table.palette == "colour"
    colours = [palette[index] if index < len(palette) else None for index in used]
    known: Mapping[Colour, int | None] = table.colours
    is_grey = all(red == green == blue for red, green, blue in palette) and not known.keys() & {*colours}
    if is_grey:
        known = {(value, value, value): label for value, label in table.classes.items()}
    by_index = [table.classes.get(index) for index in used]
    by_colour = [None if colour is None else known.get(colour) for colour in colours]
    if by_colour == by_index or not any(label is not None for label in by_colour):
        return False
    if None in by_index:
        return None not in by_colour or not is_grey  # the error then names the unknown colours
    without_padding = [*dropwhile(BLACK.__eq__, reversed(palette))]
    if None in by_colour or (is_grey and without_padding == [(255, 255, 255), BLACK]):  # as of 1 bit a pixel
        return False
    if not is_grey and {*without_padding} <= known.keys():
        return True
    raise ValueError(f"the indices say classes {_listed(by_index)}, the colours {_listed(by_colour)}; {HINT}")


def _listed(labels: Sequence[int | None]) -> str:
    return ", ".join("none" if label is None else "void" if label == IGNORE else str(label) for label in labels[:6])
