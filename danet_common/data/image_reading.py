"""Read images of bounded size: the header gives the number of pixels before any is decoded.

An image of 160 million pixels fits into a file of 20 KB, so the size of a file is no limit. `open_image` calls
Pillow's plugins directly, because `Image.open` only warns about large images.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile

from danet_common.files.regular_file import IMAGE, open_regular

MAX_PIXELS = 1 << 26  # 8192 x 8192: 67 megapixels; decoding took 5 to 20 bytes for each, most for JPEG 2000
VARIABLE = "DANET_MAX_PIXELS"
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")  # not EPS, which starts a program
SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes for 16-bit grey: PNG, TIFF, PGM
TWELVE_BITS = "I;12"  # Pillow's name of 12 bits a pixel packed in a TIFF
TWELVE_BIT_LIMIT = 4096  # 16-bit values that are all below this have 12 bits or fewer
ROWS = 256  # converted at once
ORIENTATION = 0x0112  # the EXIF tag

Log = Callable[[str], None]

# EXIF orientation -> (transpose, step of the rows, step of the columns), which turn the stored image upright.
ORIENTATIONS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


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


class ImageError(ValueError):
    """A file that is no usable image. The text is for the user."""


def ignore(message: str) -> None:
    """Discard a message."""


def read_image(
    path: str | os.PathLike[str], max_pixels: int | None = None, log: Log = ignore
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the first frame of an image file in 8-bit RGB, turned upright by its EXIF orientation.

    Transparency is dropped, as in the training code of the published networks.

    max_pixels  the largest image that is decoded; default: `default_max_pixels()`
    log         called with a message if the file holds further frames

    Raises ImageError for a file that is no image, damaged or too large. It also raises it for floating-point and 32-bit
    pixels, and for 16-bit pixels below 4096, as from a 12-bit camera.
    """
    with opened_image(path, max_pixels) as image:
        has_further_frames = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        pixels = orient(to_rgb(image), image.getexif().get(ORIENTATION, 1))  # 1 in a TIFF: Pillow has turned it
    if has_further_frames:  # MPO: a phone's photograph with its preview
        log(f"{os.fspath(path)}: has more than one frame or page; the first is read")
    return pixels


@contextmanager
def opened_image(path: str | os.PathLike[str], max_pixels: int | None = None) -> Iterator[ImageFile.ImageFile]:
    """Open an image file and read its header. Raises ImageError naming the file, also for errors in the block."""
    try:
        with open_regular(path, IMAGE) as file, open_image(file, max_pixels) as image:
            yield image
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{os.fspath(path)}: no such file") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise any exception for a damaged file
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{os.fspath(path)}: not a readable image ({reason})") from None


def read_header(path: str | os.PathLike[str]) -> ImageHeader:
    """Return the header of an image. Raises ImageError."""
    with opened_image(path) as image:
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


def default_max_pixels() -> int:
    """Return DANET_MAX_PIXELS of the environment, else MAX_PIXELS. Raises ImageError."""
    text = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not text.isdecimal() or not 0 < int(text) < 1 << 63:
        raise ImageError(f"{VARIABLE}={text}: takes a number of pixels, such as {MAX_PIXELS}")
    return int(text)


def open_image(file: BinaryIO, max_pixels: int | None = None) -> ImageFile.ImageFile:
    """Open an image and read its header only. Raises ImageError, or what Pillow raises."""
    limit = default_max_pixels() if max_pixels is None else max_pixels
    Image.init()
    prefix = file.read(16)
    for name in FORMATS:
        if name not in Image.OPEN:  # a Pillow without this format's library
            continue
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(prefix) is not True:
            continue
        file.seek(0)
        try:
            image = factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # another format
            continue
        width, height = image.size
        if width < 1 or height < 1:
            raise ImageError(f"not a readable image ({width}x{height} pixels)")
        if width * height > limit:
            raise ImageError(f"has {width}x{height} pixels; the limit is {limit} (--max-pixels sets another)")
        return image
    raise ImageError("not an image")


def to_rgb(image: ImageFile.ImageFile) -> UInt8[np.ndarray, "h w 3"]:
    """Return the stored pixels, converted in bands of rows. Raises ImageError if their range is unknown."""
    rawmode = rawmode_of(image)
    if image.mode == "F":
        raise ImageError("floating-point pixels have no known range; save the image with 8 or 16 bits")
    image.load()
    width, height = image.size
    scale = grey_scale(image, rawmode) if image.mode in SIXTEEN_BITS else None
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, ROWS):
        band = image.crop((0, top, width, min(top + ROWS, height)))
        if scale is not None:
            pixels[top : top + ROWS] = scaled_bytes(band, scale)[..., None]
            continue
        if image.mode == "P":
            band = band.convert("RGBA")  # a transparent colour becomes the alpha channel, which is dropped
        pixels[top : top + ROWS] = np.asarray(band.convert("RGB"))
    if rawmode.partition(";")[2].startswith("16") and scale is None and pixels.max() < TWELVE_BIT_LIMIT >> 8:
        raise too_dark(int(pixels.max()) << 8)
    return pixels


def rawmode_of(image: ImageFile.ImageFile) -> str:
    """Return Pillow's name for the stored pixels, such as `RGB;16B`; empty if it is unknown."""
    arguments: Any = image.tile[0].args if image.tile else ""
    mode = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return mode if isinstance(mode, str) else ""


def grey_scale(image: ImageFile.ImageFile, rawmode: str) -> int:
    """Return the largest possible value of a pixel of this file. Raises ImageError if it is unknown."""
    if rawmode == TWELVE_BITS:
        return TWELVE_BIT_LIMIT - 1
    low, high = image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if low < 0 or high > 65535:
        raise ImageError(f"values from {low} to {high} have no known range; save the image with 8 or 16 bits")
    if 0 < high < TWELVE_BIT_LIMIT and image.format != "PPM":  # Pillow scales a PPM by the maximum in its header
        raise too_dark(int(high))
    return 65535


def too_dark(high: int) -> ImageError:
    """Return the error for 12-bit values in 16 bits. Scaling each image by its own maximum would make all differ."""
    return ImageError(
        f"16-bit values of at most {high}, which would be black: they look like 12 bits or fewer; "
        "save the image with 8 bits, or multiply its values by 16"
    )


def scaled_bytes(band: Image.Image, scale: int) -> UInt8[np.ndarray, "r w"]:
    """Return grey values of 0 to `scale` as bytes, rounded down; 65535 is 255 * 257."""
    grey = np.asarray(band).astype(np.uint32)
    return (grey // 257 if scale == 65535 else grey * 255 // scale).astype(np.uint8)


def orient(pixels: UInt8[np.ndarray, "h w *c"], orientation: int) -> UInt8[np.ndarray, "p q *c"]:
    """Turn stored pixels upright by their EXIF orientation."""
    if orientation not in ORIENTATIONS:
        return pixels
    transposed, row_step, column_step = ORIENTATIONS[orientation]
    pixels = pixels.swapaxes(0, 1) if transposed else pixels
    return np.ascontiguousarray(pixels[::row_step, ::column_step])
