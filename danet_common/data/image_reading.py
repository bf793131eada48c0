"""Pictures from files, of bounded size: the header says how many pixels there are before any is decoded.

A picture of 160 million pixels fits into a file of 20 KB, so a file's size bounds nothing. Pillow has a limit of its
own, a warning by Python and a wide one; it is not asked here. Pillow's plugin of a format reads the header alone.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile

from danet_common.files.regular_file import IMAGE, open_regular

MAX_PIXELS = 1 << 26  # 8192 x 8192: 67 megapixels; decoding took 5 to 20 bytes for each, most for JPEG 2000
VARIABLE = "DANET_MAX_PIXELS"
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")  # none that starts a program, as EPS
SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes for 16-bit grey: PNG, TIFF, PGM
TWELVE_BITS = "I;12"  # Pillow's name of 12 bits a pixel packed in a TIFF
DARKEST = 4096  # 16-bit values that are all below this have 12 bits or fewer
ROWS = 256  # that are converted at once
ORIENTATION = 0x0112  # EXIF, or XMP's where that has none

Log = Callable[[str], None]

# EXIF's orientation -> what turns the stored picture upright: axes exchanged, then rows and columns reversed.
TURNS: dict[int, tuple[bool, int, int]] = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}


class ImageError(ValueError):
    """A file that holds no image that can be used. The text is meant for the user."""


def ignore(remark: str) -> None:
    """Say nothing."""


def read_image(
    path: str | os.PathLike[str], max_pixels: int | None = None, log: Log = ignore
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the first frame of an image file in RGB, turned upright by its EXIF orientation.

    Grey, palette and 16-bit images become 8-bit RGB; transparency is dropped, as the training code of the
    published networks does.

    max_pixels  the most that are decoded, `default_max_pixels()` if not given; the header tells before
    say         called with a remark where the file holds more than what is returned

    Raises ImageError for what is no image, damaged, too large, or of a range that the file does not tell:
    floating point, 32 bits, and 16 bits whose values all lie below 4096, as from a camera with 12 bits.
    """
    try:
        with open_regular(path, IMAGE) as file, open_image(file, max_pixels) as image:
            several = has_several_frames(image)
            pixels = upright(to_rgb(image), image)
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{os.fspath(path)}: no such file") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise what they please
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{os.fspath(path)}: not a readable image ({reason})") from None
    if several:
        log(f"{os.fspath(path)}: has more than one frame or page; the first is read")
    return pixels


def default_max_pixels() -> int:
    """The environment's DANET_MAX_PIXELS, which child processes inherit; else MAX_PIXELS. Raises ImageError."""
    text = os.environ.get(VARIABLE, str(MAX_PIXELS))
    if not text.isdecimal() or not 0 < int(text) < 1 << 63:
        raise ImageError(f"{VARIABLE}={text}: takes a number of pixels, such as {MAX_PIXELS}")
    return int(text)


def open_image(file: BinaryIO, max_pixels: int | None = None) -> ImageFile.ImageFile:
    """Return a picture whose header is read and whose pixels are not. Raises ImageError; other errors are Pillow's."""
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
        except (SyntaxError, IndexError, TypeError, struct.error):  # Pillow's plugins say so that it is another format
            continue
        require_pixels(image.width, image.height, limit)
        return image
    raise ImageError("not an image")


def require_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageError for a picture without pixels, or of more than the limit."""
    if width < 1 or height < 1:
        raise ImageError(f"not a readable image ({width}x{height} pixels)")
    if width * height > max_pixels:
        raise ImageError(f"has {width}x{height} pixels; the limit is {max_pixels} (--max-pixels sets another)")


def has_several_frames(image: ImageFile.ImageFile) -> bool:
    """True for an animation or pages; not for a photograph with a preview of itself, as phones write it (MPO)."""
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def to_rgb(image: ImageFile.ImageFile) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels as they are stored, converted some rows at a time. Raises ImageError where their range is unknown."""
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
            band = band.convert("RGBA")  # a transparent colour first becomes an alpha channel, to be dropped as one
        pixels[top : top + ROWS] = np.asarray(band.convert("RGB"))
    if rawmode.partition(";")[2].startswith("16") and scale is None and pixels.max() < DARKEST >> 8:
        raise too_dark(int(pixels.max()) << 8)
    return pixels


def rawmode_of(image: ImageFile.ImageFile) -> str:
    """How the file stores a pixel, in Pillow's words: `RGB;16B`; empty where Pillow does not say."""
    arguments: Any = image.tile[0].args if image.tile else ""
    mode = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return mode if isinstance(mode, str) else ""


def grey_scale(image: ImageFile.ImageFile, rawmode: str) -> int:
    """The largest value that a pixel of this file can have. Raises ImageError where the file does not tell."""
    if rawmode == TWELVE_BITS:
        return DARKEST - 1
    low, high = image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if low < 0 or high > 65535:
        raise ImageError(f"values from {low} to {high} have no known range; save the image with 8 or 16 bits")
    if 0 < high < DARKEST and image.format != "PPM":  # which says its largest value, by which Pillow scales
        raise too_dark(int(high))
    return 65535


def too_dark(high: int) -> ImageError:
    """The error for 12 bits in 16: as 16 bits they would be black, and brightened one by one no two would be alike."""
    return ImageError(
        f"16-bit values of at most {high}, which would be black: they look like 12 bits or fewer; "
        "save the image with 8 bits, or multiply its values by 16"
    )


def scaled_bytes(band: Image.Image, scale: int) -> UInt8[np.ndarray, "r w"]:
    """Grey values of 0 to `scale` as bytes; those of 16 bits rounded down, as 65535 is 255 * 257."""
    grey = np.asarray(band).astype(np.uint32)
    return (grey // 257 if scale == 65535 else grey * 255 // scale).astype(np.uint8)


def upright(pixels: UInt8[np.ndarray, "h w 3"], image: Image.Image) -> UInt8[np.ndarray, "p q 3"]:
    """The pixels turned by the picture's EXIF orientation. Of a TIFF Pillow has turned them."""
    orientation = image.getexif().get(ORIENTATION, 1)
    if orientation not in TURNS:
        return pixels
    transposed, rows, columns = TURNS[orientation]
    turned = pixels.transpose(1, 0, 2) if transposed else pixels
    return np.ascontiguousarray(turned[::rows, ::columns])
