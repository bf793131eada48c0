"""What the values and the colours of label files mean: a class, void, or nothing, which is a fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from danet_common.config.classes import Colour
from danet_common.data.dataset import IGNORE, DataError
from danet_common.data.label_settings import LabelSettings


@dataclass(frozen=True)
class LabelTable:
    """The meanings of one data set's label files.

    classes  file value -> class, or IGNORE
    colours  RGB -> class, or IGNORE, or None for a colour that two classes share; empty: there are no label colours
    palette  what counts in a palette file, as `LabelSettings.palette_labels`
    void_by_user  a user has said that 255 is void
    levels  grey level -> class, or IGNORE, where every class has a grey colour of its own; else empty
    mapped  the file values that a user has mapped
    """

    classes: Mapping[int, int]
    colours: Mapping[Colour, int | None] = field(default_factory=dict)
    palette: str = "auto"
    void_by_user: bool = False
    levels: Mapping[int, int] = field(default_factory=dict)
    mapped: tuple[int, ...] = ()

    def with_settings(self, title: str, num_classes: int, settings: LabelSettings) -> LabelTable:
        """Return the table as a user's settings change it. Raises DataError for a class that there is not."""
        wrong = [f"{value}:{label}" for value, label in settings.label_map if num_classes <= label != IGNORE]
        if wrong:
            raise DataError(
                f"{title}: label_map={wrong[0]}: there is no such class; classes are 0 to {num_classes - 1}, or void"
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
    """File values -> classes; 255 and `ignored` are void, every other value is a fault."""
    return LabelTable({**dict.fromkeys((*ignored, IGNORE), IGNORE), **classes})


def plain_table(num_classes: int, first: int = 0, ignored: Iterable[int] = ()) -> LabelTable:
    """The classes in their order, beginning with the file value `first`."""
    return label_table({first + label: label for label in range(num_classes)}, ignored)


def with_colours(table: LabelTable, colours: Sequence[Colour | None], void: Iterable[Colour] = ()) -> LabelTable:
    """Return the table for files in colour too: a colour for each class that has one, and those of void."""
    meaning: dict[Colour, int | None] = dict.fromkeys(void, IGNORE)
    for label, colour in enumerate(colours):
        if colour is not None:
            meaning[colour] = None if colour in meaning else label
    levels = {red: label for (red, green, blue), label in meaning.items() if red == green == blue and label is not None}
    return replace(table, colours=meaning, levels=levels if len(levels) == len(colours) == len(meaning) else {})
