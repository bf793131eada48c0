"""Normalise images, and write images, masks and overlays as PNG."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from danet_common.config import DANetConfig
from danet_common.data.image_reading import ImageError as ImageError
from danet_common.data.image_reading import opened_image
from danet_common.data.image_reading import read_image as read_image
from danet_common.files.atomic import Judge, always, atomic_file

Palette = Sequence[tuple[int, int, int]]

ROWS = 256  # blended at once
MASK_CLASSES = 256  # of a palette PNG


def resize_image(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "p q 3"]:
    """Resize bilinearly, with antialiasing where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def normalise(image: UInt8[np.ndarray, "h w 3"], config: DANetConfig) -> Float32[np.ndarray, "h w c"]:
    """Return (pixel / 255 - mean) / std, in RGB or grey by the network's channels."""
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
    """Raise ValueError unless the network has 1 or 3 channels."""
    if config.in_channels not in (1, 3):
        raise ValueError(f"a photograph has 3 channels or 1; this network takes {config.in_channels}")


def label_dtype(config: DANetConfig) -> np.dtype[np.unsignedinteger]:
    """Return the smallest dtype for all classes."""
    return np.dtype(np.uint8 if config.num_classes <= 256 else np.uint16)


def require_masks(config: DANetConfig) -> None:
    """Raise ValueError for a network with more classes than a mask can hold."""
    if config.num_classes > MASK_CLASSES:
        raise ValueError(f"a mask, a palette PNG, holds {MASK_CLASSES} classes; this network has {config.num_classes}")


def write_image(
    path: str | os.PathLike[str],
    image: UInt8[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w"],
    software: str | None = None,
    replace: Judge = always,
) -> None:
    """Write RGB or grey as PNG, atomically; `software_of` reads `software`. `replace` may refuse an existing file."""
    _write_png(Image.fromarray(image), path, software, replace)


def write_mask(
    path: str | os.PathLike[str],
    labels: Integer[np.ndarray, "h w"],
    palette: Palette,
    software: str | None = None,
    replace: Judge = always,
) -> None:
    """Write labels as a palette PNG, atomically, like `write_image`. Raises ValueError for labels above 255."""
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
    """Return the `software` in a PNG; None without it, and for any other file."""
    try:
        with opened_image(path, sys.maxsize) as image:
            return image.info.get("Software") if image.format == "PNG" else None
    except (ImageError, MemoryError):
        return None


def overlay(
    image: UInt8[np.ndarray, "h w 3"], labels: Integer[np.ndarray, "h w"], palette: Palette, opacity: float = 0.5
) -> UInt8[np.ndarray, "h w 3"]:
    """Blend an image with the colours of its labels; opacity 0 is the image, 1 the colours."""
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be from 0 to 1; got {opacity}")
    colours = opacity * np.asarray(palette, np.float32)
    blended = np.empty_like(image)
    for top in range(0, len(image), ROWS):
        rows = (1 - opacity) * image[top : top + ROWS].astype(np.float32) + colours[labels[top : top + ROWS]]
        blended[top : top + ROWS] = np.rint(rows)
    return blended
