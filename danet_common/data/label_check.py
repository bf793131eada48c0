"""Check the label files of a data set together, before training starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from danet_common.config.classes import ClassSet
from danet_common.data.dataset import IGNORE, DataError, PixelCounts
from danet_common.data.label_table import LabelTable
from danet_common.text import pluralise

VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore", "ignored", "ignore region", "don't care", "unknown")
SHOWN_NAMES = 8
NUMBERS = ("number", "grey")  # encodings whose file values are class numbers
ENCODINGS = {
    "colour": "by their colours",
    "grey": "as grey: each pixel's grey level is its class number",
    "level": "by their grey levels, which the list of classes gives as colours",
}


@dataclass(frozen=True)
class LabelSummary:
    """Summary of one label file; `encoding`, `counts` and `meaning` are those of its LabelFile."""

    path: Path
    error: str | None = None
    encoding: str = "number"
    counts: Mapping[int, int] = field(default_factory=dict)
    meaning: Mapping[int, int | None] = field(default_factory=dict)
    turned: bool = False


@dataclass(frozen=True)
class LabelCheck:
    """The label files of a data set: errors, messages and pixel counts.

    user_data  as `FileDataset.user_data`
    """

    title: str
    classes: ClassSet
    table: LabelTable
    files: Sequence[LabelSummary]
    user_data: bool

    def run(self, log: Callable[[str], None]) -> PixelCounts:
        """Return the pixels of each class, and `log` messages. Raises DataError with all errors."""
        errors = [file.error for file in self.files if file.error is not None]
        if errors:
            raise DataError(*(self._hints() if self.user_data else ()), *errors)
        by_class: Counter[int] = Counter()
        for file in self.files:
            for value, pixels in file.counts.items():
                by_class[file.meaning[value] or 0] += pixels
        counts = PixelCounts(tuple(by_class[label] for label in range(len(self.classes.names))), by_class[IGNORE])
        errors = list(self._inconsistencies(counts))
        if errors:
            raise DataError(*errors)
        for message in self._remarks(counts):
            log(message)
        return counts

    def _numbers(self) -> set[int]:
        """Return all file values that are class numbers."""
        return {value for file in self.files if file.encoding in NUMBERS for value in file.counts}

    def _hints(self) -> Iterator[str]:
        """Suggest a setting that explains the unknown values of all files."""
        values = self._numbers()
        known = {value for value, label in self.table.classes.items() if label != IGNORE}
        count = len(known)
        if known == {*range(count)} and count in values and values <= {*range(count + 1), IGNORE}:
            yield (
                f"{self.title}: the labels hold numbers up to {count}, for {_classes(count)}: "
                "--set reduce_zero_label=true where they count from 1 and 0 is void"
            )
        if known == {*range(1, count + 1)} and 0 in values and values <= {*range(count), IGNORE}:
            yield (
                f"{self.title}: the list of classes numbers them from 1, and the labels hold 0 to "
                f"{max(values - {IGNORE})}: leave the numbers out of the list where the labels count from 0"
            )

    def _inconsistencies(self, counts: PixelCounts) -> Iterator[str]:
        """Yield errors of the files as a whole."""
        encodings = {file.encoding: file.path for file in self.files}
        numbers = [file.path for file in self.files if file.encoding == "number" and not self._are_levels(file)]
        for kind, others in (("colour", [encodings.get("grey")]), ("level", numbers)):
            if kind in encodings and any(others):
                yield (
                    f"{self.title}: some label files hold colours of classes, such as {encodings[kind]}, and some "
                    f"numbers, such as {others[0]}; save all of them alike"
                )
        values = self._numbers()
        voids_255 = self.table.classes.get(IGNORE) == IGNORE and not self.table.void_by_user
        if self.user_data and values == {0, IGNORE} and voids_255:
            if len(self.classes.names) == 1:
                text = f"name the background first in classes.txt, and --set label_map={IGNORE}:1"
            elif len(self.classes.names) == 2:
                text = f"--set label_map={IGNORE}:1 makes it {self.classes.names[1]}"
            else:
                text = f"--set label_map={IGNORE}:CLASS makes it that class, counted from 0"
            yield (
                f"{self.title}: the labels hold nothing but 0 and {IGNORE}, and {IGNORE} is void unless you say what "
                f"it is: {text}; --set label_map={IGNORE}:void keeps it void"
            )
        elif not any(counts.pixels):
            hint = f"; --set label_map={IGNORE}:CLASS where {IGNORE} is a class"
            hint *= self.user_data and IGNORE in values
            files = pluralise(len(self.files), "label file")
            yield f"{self.title}: all pixels of {files} are void: nothing to learn or judge{hint}"

    def _are_levels(self, file: LabelSummary) -> bool:
        """True if the values mean the same as numbers and as grey levels of classes."""
        return all(self.table.levels.get(value) == label for value, label in file.meaning.items())

    def _remarks(self, counts: PixelCounts) -> Iterator[str]:
        """Yield what the user should know although it is no error."""
        encodings = Counter(file.encoding for file in self.files)
        for encoding, text in ENCODINGS.items():
            if encodings[encoding]:
                files = pluralise(encodings[encoding], "label file")
                yield f"{self.title}: {files} of {len(self.files)} read {text}"
        turned = [file.path for file in self.files if file.turned]
        if turned:
            yield (
                f"{self.title}: {pluralise(len(turned), 'label file')} turned upright with the EXIF orientation of the "
                f"picture, whose stored size they have, such as {turned[0]}"
            )
        numbers = {label: value for value, label in self.table.classes.items()} if self._numbers() else {}
        for label, name in enumerate(self.classes.names):
            if name.lower() in VOID_NAMES and counts.pixels[label]:
                value = numbers.get(label, label)
                yield f"{self.title}: {name} is learned as a class; --set label_map={value}:void leaves its pixels out"
        absent = [value for value in self.table.mapped if not any(value in file.counts for file in self.files)]
        if absent and {*encodings} <= {*NUMBERS}:
            yield f"{self.title}: label_map has no effect on {', '.join(map(str, absent))}: no label file holds it"


def absent_remark(title: str, names: Sequence[str], counts: PixelCounts) -> str | None:
    """Return a line naming the classes without a training pixel; None if there are none."""
    absent = [name for name, pixels in zip(names, counts.pixels, strict=True) if not pixels]
    if not absent:
        return None
    listed = ", ".join(absent[:SHOWN_NAMES]) + f" and {len(absent) - SHOWN_NAMES} more" * (len(absent) > SHOWN_NAMES)
    present = len(names) - len(absent)
    end = "; nothing can be told apart" if present == 1 and len(names) > 1 else ""
    if not counts.pixels[0] and title.startswith("folder:"):
        end += "; --set reduce_zero_label=true where the labels count from 1"
    return f"{title}: {len(absent)} of {_classes(len(names))} in no label: {listed}{end}"


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"
