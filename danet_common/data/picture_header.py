"""What a picture's file says before its pixels are decoded: its size, its EXIF orientation, its bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from danet_common.data.dataset import DataError
from danet_common.data.image_reading import ORIENTATION, SIXTEEN_BITS, TURNS, ImageError, open_image, rawmode_of
from danet_common.files.regular_file import IMAGE, open_regular

LYING = (5, 6, 7, 8)  # EXIF orientations of a picture that lies on its side


@dataclass(frozen=True)
class PictureHeader:
    """Sizes are height and width.

    upright   the size as it is read
    stored    the size of the pixels as they lie in the file
    deep      more than 8 bits a channel, whose range only the pixels tell
    """

    upright: tuple[int, int]
    stored: tuple[int, int]
    orientation: int
    deep: bool


def read_header(path: Path) -> PictureHeader:
    """The header of a picture. Raises DataError as reading it would."""
    try:
        with open_regular(path, IMAGE) as file, open_image(file) as image:
            orientation = Image.Image.getexif(image).get(ORIENTATION, 1)  # a PNG's own would decode all pixels first
            orientation = orientation if orientation in TURNS else 1
            size, turned = (image.height, image.width), (image.width, image.height)
            if orientation not in LYING:
                turned = size
            elif image.format == "TIFF":  # its size is upright already
                size, turned = turned, size
            deep = image.mode == "F" or image.mode in SIXTEEN_BITS or ";16" in rawmode_of(image)
            return PictureHeader(turned, size, orientation, deep)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ImageError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # a damaged header makes Pillow raise what it pleases
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: not a readable image ({reason})") from None


def turn_of_labels(picture: Path, header: PictureHeader, labels: tuple[int, int], wanted: str) -> int:
    """Return the EXIF orientation by which labels of this size are turned like their picture; 1: they are upright.

    wanted  as `LabelSettings.label_orientation`

    Raises DataError where the sizes do not tell which of the two they are.
    """
    if header.orientation == 1 or wanted == "upright":
        return 1
    if wanted == "stored":
        return header.orientation
    if header.upright == header.stored == labels:
        raise DataError(
            f"{picture}: has the EXIF orientation {header.orientation}, and its size does not tell how its labels lie: "
            "--set label_orientation=upright where they fit the picture as viewers show it, =stored where as it is "
            "stored"
        )
    return header.orientation if labels == header.stored != header.upright else 1


def turned(labels: UInt8[np.ndarray, "h w"], orientation: int) -> UInt8[np.ndarray, "p q"]:
    """Labels turned as EXIF's orientation turns a picture."""
    if orientation not in TURNS:
        return labels
    transposed, rows, columns = TURNS[orientation]
    return np.ascontiguousarray((labels.T if transposed else labels)[::rows, ::columns])
