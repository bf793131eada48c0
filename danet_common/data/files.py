"""A data set in files: an image and a label file for each item."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from danet_common.classes import ClassSet
from danet_common.data.dataset import DataError, Dataset, Sample
from danet_common.data.labels import LabelTable, read_labels
from danet_common.image import ImageError, read_image
from danet_common.regular_file import IMAGE, open_regular

CHECKING_THREADS = 8  # decoding releases the interpreter, and a disk answers several at once
ORIENTATION = 0x0112  # EXIF, or XMP's where that has none; from 5 to 8 the picture lies on its side


@dataclass(frozen=True)
class Pair:
    """The two files of one item."""

    image: Path
    labels: Path


class FileDataset(Dataset):
    """Pairs of files, and what the bytes of the label files mean."""

    def __init__(self, title: str, classes: ClassSet, pairs: Sequence[Pair], table: LabelTable) -> None:
        super().__init__(title, classes)
        self.pairs = tuple(pairs)
        self.table = table
        self._names = tuple(pair.image.stem for pair in self.pairs)
        if not self.pairs:
            raise DataError(f"{title}: there are no images")
        if len(set(self._names)) < len(self._names):
            twice = sorted({name for name in self._names if self._names.count(name) > 1})
            raise DataError(*(f"{title}: more than one image is called {name}" for name in twice))

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
        labels = read_labels(pair.labels, self.table)
        _require_same_size(pair, image.shape[:2], labels.shape)
        return Sample(image, labels, self._names[index])

    def check(self, limit: int | None = None) -> None:
        """Decode label files and open images, in threads. Raises DataError listing all faults, in order."""
        with ThreadPoolExecutor(CHECKING_THREADS) as threads:
            faults = [fault for fault in threads.map(self._fault, self.pairs[:limit]) if fault]
        if faults:
            raise DataError(*faults)

    def _fault(self, pair: Pair) -> str | None:
        """What is wrong with an item as far as its labels and the image's header tell; the pixels are not decoded."""
        try:
            _require_same_size(pair, _image_size(pair.image), read_labels(pair.labels, self.table).shape)
        except DataError as error:
            return str(error)
        return None


def _require_same_size(pair: Pair, image: tuple[int, ...], labels: tuple[int, ...]) -> None:
    if image != labels:
        shapes = [f"{width}x{height}" for height, width in (labels, image)]
        raise DataError(f"{pair.labels}: {shapes[0]} labels for the {shapes[1]} image {pair.image}")


def _image_size(path: Path) -> tuple[int, int]:
    """Height and width of an upright image, from its header. Raises DataError as reading it would."""
    try:
        with open_regular(path, IMAGE) as file, Image.open(file) as image:
            exif = Image.Image.getexif(image)  # a PNG's own would decode all pixels first
            width, height = image.size  # a TIFF's is upright already
            lies = 5 <= exif.get(ORIENTATION, 1) <= 8 and image.format != "TIFF"
            return (width, height) if lies else (height, width)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as error:  # a damaged header makes Pillow raise what it pleases
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: not a readable image ({reason})") from None
