"""What the label files of a data set hold altogether, and what follows from that before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from danet_common.config.classes import ClassSet
from danet_common.data.dataset import IGNORE, Census, DataError
from danet_common.data.label_table import LabelTable
from danet_common.text import pluralise

NAMES_OF_VOID = ("void", "unlabelled", "unlabeled", "ignore", "ignored", "ignore region", "don't care", "unknown")
SHOWN_NAMES = 8


@dataclass(frozen=True)
class Look:
    """What one item holds. `reading`, `counts` and `meaning` are those of its LabelFile."""

    labels: Path
    fault: str | None = None
    reading: str = "number"
    counts: Mapping[int, int] = field(default_factory=dict)
    meaning: Mapping[int, int | None] = field(default_factory=dict)
    turned: bool = False


def conclude(
    title: str, classes: ClassSet, table: LabelTable, looks: Sequence[Look], log: Callable[[str], None], own: bool
) -> Census:
    """Return the sum of all looks; `log` what is remarkable.

    own  as `FileDataset.own`

    Raises DataError for the faults of items, and where the labels altogether mean nothing or more than one thing.
    """
    faults = [look.fault for look in looks if look.fault is not None]
    if faults:
        raise DataError(*(_hints(title, table, looks) if own else ()), *faults)
    values: Counter[int] = Counter()
    meant: Counter[int] = Counter()
    for look in looks:
        for value, pixels in look.counts.items():
            meant[look.meaning[value] or 0] += pixels
            if look.reading in ("number", "grey"):
                values[value] += pixels
    census = Census(tuple(meant[label] for label in range(len(classes.names))), meant[IGNORE])
    faults = list(_meaningless(title, classes, table, looks, values, census, own))
    if faults:
        raise DataError(*faults)
    for remark in _remarks(title, classes, table, looks, census, own):
        log(remark)
    return census


def _hints(title: str, table: LabelTable, looks: Sequence[Look]) -> Iterator[str]:
    """What would mend values that no class has, in all files of a user's own data set at once."""
    values = {value for look in looks if look.reading in ("number", "grey") for value in look.counts}
    known = {value for value, label in table.classes.items() if label != IGNORE}
    count = len(known)
    if known == {*range(count)} and count in values and values <= {*range(count + 1), IGNORE}:
        yield (
            f"{title}: the labels hold numbers up to {count}, for {_classes(count)}: "
            "--set reduce_zero_label=true where they count from 1 and 0 is void"
        )
    if known == {*range(1, count + 1)} and 0 in values and values <= {*range(count), IGNORE}:
        yield (
            f"{title}: the list of classes numbers them from 1, and the labels hold 0 to {max(values - {IGNORE})}: "
            "leave the numbers out of the list where the labels count from 0"
        )


def _meaningless(
    title: str,
    classes: ClassSet,
    table: LabelTable,
    looks: Sequence[Look],
    values: Mapping[int, int],
    census: Census,
    own: bool,
) -> Iterator[str]:
    """Faults of all labels together."""
    readings = {look.reading: look.labels for look in looks}
    if {"colour", "grey"} <= readings.keys():
        yield (
            f"{title}: some label files hold colours of classes, such as {readings['colour']}, and some numbers as "
            f"grey, such as {readings['grey']}; save all of them alike"
        )
    if "level" in readings:
        numbers = [look.labels for look in looks if look.reading == "number" and not _are_levels(look, table)]
        if numbers:
            yield (
                f"{title}: some label files hold grey levels that are colours of classes, such as {readings['level']}, "
                f"and some numbers, such as {numbers[0]}; save all of them alike"
            )
    if own and values.keys() == {0, IGNORE} and table.classes.get(IGNORE) == IGNORE and not table.void_by_user:
        if len(classes.names) == 1:
            text = f"name the background first in classes.txt, and --set label_map={IGNORE}:1"
        elif len(classes.names) == 2:
            text = f"--set label_map={IGNORE}:1 makes it {classes.names[1]}"
        else:
            text = f"--set label_map={IGNORE}:CLASS makes it that class, counted from 0"
        yield (
            f"{title}: the labels hold nothing but 0 and {IGNORE}, and {IGNORE} is void unless you say what it is: "
            f"{text}; --set label_map={IGNORE}:void keeps it void"
        )
    elif not any(census.pixels):
        hint = f"; --set label_map={IGNORE}:CLASS where {IGNORE} is a class" if own and IGNORE in values else ""
        yield f"{title}: all pixels of {pluralise(len(looks), 'label file')} are void: nothing to learn or judge{hint}"


def _are_levels(look: Look, table: LabelTable) -> bool:
    """True if the values of a file mean the same as numbers and as the grey levels of classes."""
    return all(table.levels.get(value) == label for value, label in look.meaning.items())


def _remarks(
    title: str, classes: ClassSet, table: LabelTable, looks: Sequence[Look], census: Census, own: bool
) -> Iterator[str]:
    """What a user should know although nothing is wrong."""
    ways = Counter(look.reading for look in looks)
    texts = {
        "colour": "by their colours",
        "palette": "by the colours of their palettes, not by the palettes' indices",
        "grey": "as grey: each pixel's grey level is its class number",
        "level": "by their grey levels, which the list of classes gives as colours",
    }
    for way, text in texts.items():
        if ways[way]:
            yield f"{title}: {pluralise(ways[way], 'label file')} of {len(looks)} read {text}"
    turned = [look for look in looks if look.turned]
    if turned:
        yield (
            f"{title}: {pluralise(len(turned), 'label file')} turned upright with the EXIF orientation of the picture, "
            f"whose stored size they have, such as {turned[0].labels}"
        )
    void = [
        (label, name)
        for label, name in enumerate(classes.names)
        if name.lower() in NAMES_OF_VOID and census.pixels[label]
    ]
    numbers = {label: value for value, label in table.classes.items()} if ways["number"] + ways["grey"] else {}
    for label, name in void:
        value = numbers.get(label, label)
        yield f"{title}: {name} is learned as a class; --set label_map={value}:void leaves its pixels out"
    absent = [value for value in table.mapped if not any(value in look.counts for look in looks)]
    if absent and ways.keys() <= {"number", "grey"}:
        yield f"{title}: label_map has no effect on {', '.join(map(str, absent))}: no label file holds it"
    binary = [look for look in looks if look.reading in ("number", "grey") and look.counts.keys() <= {0, IGNORE}]
    binary = [look for look in binary if IGNORE in look.counts and look.meaning[IGNORE] == IGNORE]
    voided = sum(IGNORE in look.counts for look in looks)
    if own and binary and len(binary) == voided < len(looks) and not table.void_by_user:
        yield (
            f"{title}: {pluralise(len(binary), 'label file')} of {len(looks)} hold nothing but 0 and {IGNORE}, such as "
            f"{binary[0].labels}, and no other holds {IGNORE}: it is taken for void there"
        )


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"


def absent_remark(title: str, names: Sequence[str], census: Census) -> str | None:
    """A line naming the classes that no pixel of the training data has; None where there are none."""
    absent = census.absent(names)
    if not absent:
        return None
    shown = ", ".join(absent[:SHOWN_NAMES]) + f" and {len(absent) - SHOWN_NAMES} more" * (len(absent) > SHOWN_NAMES)
    present = len(names) - len(absent)
    end = "; nothing can be told apart" if present == 1 and len(names) > 1 else ""
    if not census.pixels[0] and title.startswith("folder:"):
        end += "; --set reduce_zero_label=true where the labels count from 1"
    return f"{title}: {len(absent)} of {_classes(len(names))} in no label: {shown}{end}"
