"""Photographs in, masks out: reading, normalising, and writing palette PNGs and overlays."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from danet_common.config import DANetConfig
from danet_common.data.image_reading import MAX_PIXELS, ImageError, open_image, read_image
from danet_common.files.atomic import Judge, always, atomic_file
from danet_common.files.regular_file import IMAGE, open_regular

__all__ = [
    "MAX_PIXELS",
    "ImageError",
    "Palette",
    "label_dtype",
    "normalise",
    "overlay",
    "read_image",
    "require_masks",
    "require_photographs",
    "resize_image",
    "software_of",
    "write_image",
    "write_mask",
]

Palette = Sequence[tuple[int, int, int]]

ROWS = 256  # that are mixed at once
MASK_CLASSES = 256  # of a palette PNG


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
    scaled = image.astype(np.float32)
    scaled /= np.float32(255)
    scaled -= np.asarray(config.mean, np.float32)
    scaled /= np.asarray(config.std, np.float32)
    return scaled


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


def write_image(
    path: str | os.PathLike[str],
    image: UInt8[np.ndarray, "h w 3"],
    software: str | None = None,
    replace: Judge = always,
) -> None:
    """Write an RGB image as PNG, atomically; `software` is who made it, for `software_of`.

    `replace` raises where an existing file must stay.
    """
    _write_png(Image.fromarray(image), path, software, replace)


def write_grey(
    path: str | os.PathLike[str],
    values: UInt8[np.ndarray, "h w"],
    software: str | None = None,
    replace: Judge = always,
) -> None:
    """Write values of 8 bits as a grey PNG, atomically. Raises what `replace` raises for a file in its place."""
    _write_png(Image.fromarray(values), path, software, replace)


def write_mask(
    path: str | os.PathLike[str],
    labels: Integer[np.ndarray, "h w"],
    palette: Palette,
    software: str | None = None,
    replace: Judge = always,
) -> None:
    """Write labels as a palette PNG, atomically: a pixel's value is its class, its colour the palette's.

    `replace` raises where an existing file must stay.
    """
    if labels.size and not 0 <= labels.min() <= labels.max() < MASK_CLASSES:
        raise ValueError(f"a palette PNG holds labels from 0 to 255; got {labels.min()} to {labels.max()}")
    mask = Image.fromarray(labels.astype(np.uint8))
    mask.putpalette([value for colour in palette[:MASK_CLASSES] for value in colour])
    _write_png(mask, path, software, replace)


def _write_png(image: Image.Image, path: str | os.PathLike[str], software: str | None, replace: Judge) -> None:
    texts = PngInfo()
    if software is not None:
        texts.add_text("Software", software)
    with atomic_file(path, replace) as temporary:
        image.save(temporary, format="PNG", pnginfo=texts)


def software_of(path: str | os.PathLike[str]) -> str | None:
    """Who made a PNG, as it says; None where it does not, and for any other file."""
    try:
        with open_regular(path, IMAGE) as file, open_image(file, sys.maxsize) as image:
            return image.info.get("Software") if image.format == "PNG" else None
    except Exception:  # a damaged file makes Pillow's decoders raise what they please
        return None


def overlay(
    image: UInt8[np.ndarray, "h w 3"], labels: Integer[np.ndarray, "h w"], palette: Palette, opacity: float = 0.5
) -> UInt8[np.ndarray, "h w 3"]:
    """The image under the colours of its labels; opacity 0 is the image, 1 the colours."""
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be from 0 to 1; got {opacity}")
    colours = opacity * np.asarray(palette, np.float32)
    mixed = np.empty_like(image)
    for top in range(0, len(image), ROWS):
        rows = (1 - opacity) * image[top : top + ROWS].astype(np.float32) + colours[labels[top : top + ROWS]]
        mixed[top : top + ROWS] = np.rint(rows)
    return mixed
