"""Photographs in, masks out: reading, normalising, and writing palette PNGs and overlays."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from danet_common.atomic import atomic_file
from danet_common.config import DANetConfig
from danet_common.regular_file import IMAGE, open_regular

Palette = Sequence[tuple[int, int, int]]

MASK_CLASSES = 256  # of a palette PNG
SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes for 16-bit grey: PNG, TIFF, PGM


class ImageError(ValueError):
    """A file that holds no image that can be used. The text is meant for the user."""


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "h w 3"]:
    """The first frame of an image file in RGB, turned upright by its EXIF orientation.

    Grey, palette and 16-bit images become 8-bit RGB; transparency is dropped, as the training code of the
    published networks does. Raises ImageError for what is no image, damaged, or floating-point.
    """
    try:
        with open_regular(path, IMAGE) as file, Image.open(file) as image:
            return np.array(_as_rgb(ImageOps.exif_transpose(image)))
    except ImageError as error:
        raise ImageError(f"{os.fspath(path)}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{os.fspath(path)}: no such file") from None
    except Image.UnidentifiedImageError:
        raise ImageError(f"{os.fspath(path)}: not an image") from None
    except Exception as error:  # a damaged file makes Pillow's decoders raise what they please
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{os.fspath(path)}: not a readable image ({reason})") from None


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BITS:
        grey = np.clip(np.asarray(image, np.int64), 0, 65535)
        return Image.fromarray((grey // 257).astype(np.uint8)).convert("RGB")  # 65535 = 255 * 257
    if image.mode == "F":
        raise ImageError("floating-point pixels have no known range; save the image with 8 or 16 bits")
    if image.mode == "P":
        image = image.convert("RGBA")  # a transparent colour first becomes an alpha channel, to be dropped as one
    return image.convert("RGB")


def resize_image(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "p q 3"]:
    """Bilinear, antialiased where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def normalise(image: UInt8[np.ndarray, "h w 3"], config: DANetConfig) -> Float32[np.ndarray, "h w c"]:
    """(pixel / 255 - mean) / std, as the network takes it: three channels are RGB, one is grey."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image must be (H, W, 3) uint8; got {image.shape} {image.dtype}")
    require_photographs(config)
    if config.in_channels == 1:
        image = np.asarray(Image.fromarray(image).convert("L"))[..., None]
    scaled = image.astype(np.float32) / np.float32(255)
    return (scaled - np.asarray(config.mean, np.float32)) / np.asarray(config.std, np.float32)


def require_photographs(config: DANetConfig) -> None:
    """Raise ValueError for a network of other channels than a photograph has."""
    if config.in_channels not in (1, 3):
        raise ValueError(f"a photograph has 3 channels or 1; this network takes {config.in_channels}")


def label_dtype(config: DANetConfig) -> np.dtype[np.unsignedinteger]:
    """The smallest type that numbers all classes."""
    return np.dtype(np.uint8 if config.num_classes <= 256 else np.uint16)


def require_masks(config: DANetConfig) -> None:
    """Raise ValueError for a network of more classes than a mask can hold."""
    if config.num_classes > MASK_CLASSES:
        raise ValueError(f"a mask, a palette PNG, holds {MASK_CLASSES} classes; this network has {config.num_classes}")


def write_image(path: str | os.PathLike[str], image: UInt8[np.ndarray, "h w 3"], software: str | None = None) -> None:
    """Write an RGB image as PNG, atomically; `software` is who made it, for `software_of`."""
    _write_png(Image.fromarray(image), path, software)


def write_mask(
    path: str | os.PathLike[str], labels: Integer[np.ndarray, "h w"], palette: Palette, software: str | None = None
) -> None:
    """Write labels as a palette PNG, atomically: a pixel's value is its class, its colour the palette's."""
    if labels.size and not 0 <= labels.min() <= labels.max() < MASK_CLASSES:
        raise ValueError(f"a palette PNG holds labels from 0 to 255; got {labels.min()} to {labels.max()}")
    mask = Image.fromarray(labels.astype(np.uint8))
    mask.putpalette([value for colour in palette[:MASK_CLASSES] for value in colour])
    _write_png(mask, path, software)


def _write_png(image: Image.Image, path: str | os.PathLike[str], software: str | None) -> None:
    texts = PngInfo()
    if software is not None:
        texts.add_text("Software", software)
    with atomic_file(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=texts)


def software_of(path: str | os.PathLike[str]) -> str | None:
    """Who made a PNG, as it says; None where it does not, and for any other file."""
    try:
        with open_regular(path, IMAGE) as file, Image.open(file, formats=["PNG"]) as image:
            return image.info.get("Software")
    except Exception:  # a damaged file makes Pillow's decoders raise what they please
        return None


def overlay(
    image: UInt8[np.ndarray, "h w 3"], labels: Integer[np.ndarray, "h w"], palette: Palette, opacity: float = 0.5
) -> UInt8[np.ndarray, "h w 3"]:
    """The image under the colours of its labels; opacity 0 is the image, 1 the colours."""
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be from 0 to 1; got {opacity}")
    colours = np.asarray(palette, np.float32)[labels]
    return np.rint((1 - opacity) * image.astype(np.float32) + opacity * colours).astype(np.uint8)
