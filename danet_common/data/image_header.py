"""Size, EXIF orientation and bit depth of an image, from its header."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from danet_common.data.dataset import DataError
from danet_common.data.image_reading import (
    ORIENTATION,
    ORIENTATIONS,
    SIXTEEN_BITS,
    ImageError,
    open_image,
    rawmode_of,
)
from danet_common.files.regular_file import IMAGE, open_regular


@dataclass(frozen=True)
class ImageHeader:
    """Sizes are (height, width).

    upright  size after the EXIF orientation
    stored   size of the pixels in the file
    deep     more than 8 bits a channel
    """

    upright: tuple[int, int]
    stored: tuple[int, int]
    orientation: int
    deep: bool


def read_header(path: Path) -> ImageHeader:
    """Return the header of an image. Raises DataError."""
    try:
        with open_regular(path, IMAGE) as file, open_image(file) as image:
            orientation = Image.Image.getexif(image).get(ORIENTATION, 1)  # a PNG's own method decodes all pixels
            orientation = orientation if orientation in ORIENTATIONS else 1
            upright = stored = image.height, image.width
            if orientation in ORIENTATIONS and ORIENTATIONS[orientation][0]:
                if image.format == "TIFF":  # Pillow gives the upright size
                    stored = upright[::-1]
                else:
                    upright = stored[::-1]
            deep = image.mode == "F" or image.mode in SIXTEEN_BITS or ";16" in rawmode_of(image)
            return ImageHeader(upright, stored, orientation, deep)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ImageError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # Pillow raises any exception for a damaged header
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: not a readable image ({reason})") from None


def orientation_of_labels(image: Path, header: ImageHeader, labels: tuple[int, int], setting: str) -> int:
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
