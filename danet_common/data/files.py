"""A data set in files: an image and a label file for each item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from danet_common.config.classes import ClassSet
from danet_common.data.dataset import DataError, Dataset, PixelCounts, Sample, log_remark
from danet_common.data.image_reading import ImageError, ImageHeader, orient, read_header, read_image
from danet_common.data.label_check import LabelCheck, LabelSummary
from danet_common.data.label_settings import NO_SETTINGS, LabelSettings
from danet_common.data.label_table import LabelTable
from danet_common.data.labels import LabelFile, open_labels

CHECKING_THREADS = 8  # decoding releases the GIL


@dataclass(frozen=True)
class Pair:
    """The two files of an item, and its name; default: the image file's without its ending."""

    image: Path
    labels: Path
    name: str = ""


class FileDataset(Dataset):
    """Pairs of files, and the classes of the values in the label files.

    messages   findings from listing the files
    user_data  True for a user's own folder, in which 255 may be a class
    """

    def __init__(
        self,
        title: str,
        classes: ClassSet,
        pairs: Sequence[Pair],
        table: LabelTable,
        messages: Sequence[str] = (),
        user_data: bool = False,
    ) -> None:
        super().__init__(title, classes, [pair.name or pair.image.stem for pair in pairs])
        self.pairs = tuple(pairs)
        self.table = table
        self.messages = tuple(messages)
        self.user_data = user_data
        self.settings = NO_SETTINGS
        if not self.pairs:
            raise DataError(f"{title}: there are no images", *self.messages)
        if len({*self.item_names}) < len(self.pairs):
            twice = sorted({name for name in self.item_names if self.item_names.count(name) > 1})
            raise DataError(*(f"{title}: more than one image is called {name}" for name in twice))

    def read_by(self, settings: LabelSettings) -> FileDataset:
        """Apply a user's settings and return the data set itself. Raises DataError if they do not fit."""
        if settings.reduce_zero_label and not self.user_data:
            raise DataError(f"{self.title}: reduce_zero_label is for folder:PATH; leave it out")
        self.table = self.table.with_settings(self.title, self.num_classes, settings)
        self.settings = settings
        return self

    def item(self, index: int) -> Sample:
        """Read both files. Raises DataError naming the file that is missing, damaged or of another size."""
        pair = self.pairs[index]
        try:
            image, header = read_image(pair.image), read_header(pair.image)
        except ImageError as error:
            raise DataError(str(error)) from None
        file = open_labels(pair.labels, self.table)
        labels = orient(file.labels(), self._orientation(pair, header, file))
        _require_same_size(pair, image.shape[:2], labels.shape)
        return Sample(image, labels, self.item_names[index])

    def check(self, limit: int | None = None, log: Callable[[str], None] = log_remark) -> PixelCounts:
        """Decode label files and open images, in threads, and `log` messages. Raises DataError with all errors."""
        with ThreadPoolExecutor(CHECKING_THREADS) as threads:
            summaries = list(threads.map(self._summary, self.pairs[:limit]))
        for message in self.messages:
            log(message)
        return LabelCheck(self.title, self.classes, self.table, summaries, self.user_data).run(log)

    def _orientation(self, pair: Pair, header: ImageHeader, file: LabelFile) -> int:
        """Return the EXIF orientation by which an item's labels are turned."""
        height, width = file.values.shape
        orientation = _orientation_of_labels(pair.image, header, (height, width), self.settings.label_orientation)
        _require_same_size(pair, header.stored if orientation > 1 else header.upright, file.values.shape)
        return orientation

    def _summary(self, pair: Pair) -> LabelSummary:
        """Summarise an item from its labels and its image's header; pixels are decoded only if they are deep."""
        try:
            file = open_labels(pair.labels, self.table)
            header = read_header(pair.image)
            turned = self._orientation(pair, header, file) > 1
            if header.deep:
                read_image(pair.image)
        except (DataError, ImageError) as error:
            return LabelSummary(pair.labels, error=str(error))
        return LabelSummary(pair.labels, file.error, file.encoding, file.counts, file.meaning, turned)


def _orientation_of_labels(image: Path, header: ImageHeader, labels: tuple[int, int], setting: str) -> int:
    """Return the EXIF orientation by which labels of this size must be turned; 1 if they are upright.

    setting  `LabelSettings.label_orientation`

    Raises DataError if the sizes do not decide.
    """
    if header.orientation == 1 or setting == "upright":
        return 1
    if setting == "stored":
        return header.orientation
    if header.upright == header.stored == labels:
        raise DataError(
            f"{image}: has the EXIF orientation {header.orientation}, and its size does not tell how its labels lie: "
            "--set label_orientation=upright where they fit the picture as viewers show it, =stored where as it is "
            "stored"
        )
    return header.orientation if labels == header.stored != header.upright else 1


def _require_same_size(pair: Pair, image: tuple[int, ...], labels: tuple[int, ...]) -> None:
    if image != labels:
        shapes = [f"{width}x{height}" for height, width in (labels, image)]
        raise DataError(f"{pair.labels}: {shapes[0]} labels for the {shapes[1]} image {pair.image}")
