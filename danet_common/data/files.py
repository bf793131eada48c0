"""A data set in files: an image and a label file for each item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from danet_common.config.classes import ClassSet
from danet_common.data.census import Look, conclude
from danet_common.data.dataset import Census, DataError, Dataset, Sample, log_remark
from danet_common.data.image import ImageError, read_image
from danet_common.data.label_settings import NO_SETTINGS, LabelSettings
from danet_common.data.label_table import LabelTable
from danet_common.data.labels import LabelFile, open_labels
from danet_common.data.picture_header import read_header, turn_of_labels, turned

CHECKING_THREADS = 8  # decoding releases the interpreter, and a disk answers several at once


@dataclass(frozen=True)
class Pair:
    """The two files of one item, and its name: by default that of the image's file without its ending."""

    image: Path
    labels: Path
    name: str = ""


class FileDataset(Dataset):
    """Pairs of files, and what the bytes of the label files mean.

    remarks  what was noticed while the files were listed, a line each
    own      the data set is the user's own, so nothing but its files tells what 255 means in them
    """

    def __init__(
        self,
        title: str,
        classes: ClassSet,
        pairs: Sequence[Pair],
        table: LabelTable,
        remarks: Sequence[str] = (),
        own: bool = False,
    ) -> None:
        super().__init__(title, classes)
        self.pairs = tuple(pairs)
        self.table = table
        self.remarks = tuple(remarks)
        self.own = own
        self.settings: LabelSettings = NO_SETTINGS
        self._names = tuple(pair.name or pair.image.stem for pair in self.pairs)
        if not self.pairs:
            raise DataError(f"{title}: there are no images", *self.remarks)
        if len(set(self._names)) < len(self._names):
            twice = sorted({name for name in self._names if self._names.count(name) > 1})
            raise DataError(*(f"{title}: more than one image is called {name}" for name in twice))

    def read_by(self, settings: LabelSettings) -> FileDataset:
        """Read the label files by a user's settings; returns itself. Raises DataError where they do not fit."""
        if settings.reduce_zero_label and not self.own:
            raise DataError(f"{self.title}: reduce_zero_label is for folder:PATH; leave it out")
        self.table = self.table.with_settings(self.title, self.num_classes, settings)
        self.settings = settings
        return self

    @property
    def item_names(self) -> Sequence[str]:
        """The image files' names without their endings."""
        return self._names

    def item(self, index: int) -> Sample:
        """Read both files. Raises DataError naming the one that is missing, damaged, or of another size."""
        pair = self.pairs[index]
        try:
            image = read_image(pair.image)
        except ImageError as error:
            raise DataError(str(error)) from None
        file = open_labels(pair.labels, self.table)
        labels = turned(file.labels(), self._turn(pair, file)[0])
        _require_same_size(pair, image.shape[:2], labels.shape)
        return Sample(image, labels, self._names[index])

    def check(self, limit: int | None = None, log: Callable[[str], None] = log_remark) -> Census:
        """Decode label files and open images, in threads, and `log` what is remarkable.

        Raises DataError listing all faults, in order.
        """
        pairs = self.pairs[:limit]
        with ThreadPoolExecutor(CHECKING_THREADS) as threads:
            looks = list(threads.map(partial(_look, self), pairs))
        for remark in self.remarks:
            log(remark)
        return conclude(self.title, self.classes, self.table, looks, log, self.own)

    def _turn(self, pair: Pair, file: LabelFile) -> tuple[int, bool]:
        """By which orientation an item's labels are turned, and whether its picture has more than 8 bits."""
        header = read_header(pair.image)
        height, width = file.values.shape
        turn = turn_of_labels(pair.image, header, (height, width), self.settings.label_orientation)
        _require_same_size(pair, header.stored if turn > 1 else header.upright, file.values.shape)
        return turn, header.deep


def _look(dataset: FileDataset, pair: Pair) -> Look:
    """What is in an item as far as its labels and the image's header tell; the pixels are not decoded."""
    try:
        file = open_labels(pair.labels, dataset.table)
        turn, deep = dataset._turn(pair, file)
        if deep:
            read_image(pair.image)
    except (DataError, ImageError) as error:
        return Look(pair.labels, fault=str(error))
    return Look(pair.labels, file.fault, file.reading, file.counts, file.meaning, turned=turn > 1)


def _require_same_size(pair: Pair, image: tuple[int, ...], labels: tuple[int, ...]) -> None:
    if image != labels:
        shapes = [f"{width}x{height}" for height, width in (labels, image)]
        raise DataError(f"{pair.labels}: {shapes[0]} labels for the {shapes[1]} image {pair.image}")
