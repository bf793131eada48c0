"""Augment a training image: scale, crop, flip, change colours, pad.

Each item of each epoch has its own random stream, so it can be made again alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from danet_common.config.classes import Colour
from danet_common.config.typed_json import require, require_choice
from danet_common.data.colour import Distortion, change_colour
from danet_common.data.dataset import IGNORE
from danet_common.data.resizing import Size, fitted, nearest, scaled
from danet_common.numerics.keyed_random import KeyedRandom

LONGEST_SIDE = 65_535  # pixels, of a crop or a base, as in JPEG
LARGEST_SCALE = 100
MAXIMA = {"scale_step": 100, "flip": 1, "brightness": 1, "contrast": 1, "saturation": 1, "hue": 180, "blur": 1000}
CROP_ATTEMPTS = 10  # for `largest_share`, as mmsegmentation


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Settings of augmentation. Raises ValueError naming an invalid field. The defaults are the paper's."""

    crop: Size = (768, 768)  # height, width; the paper's on Cityscapes
    base: Size | None = None  # long, short side of an image at scale 1; None: its own size
    scale: tuple[float, float] = (0.5, 2.0)  # uniform; (1, 1) is off
    scale_step: float = 0.0  # of the scales, from the lowest; 0: continuous; PaddleSeg 0.25
    flip: float = 0.5  # probability
    largest_share: float = 1.0  # of a class in a crop, else try another crop; mmsegmentation 0.75
    distortion: Distortion = "mmseg"  # meaning and order of the next 4: see colour.py
    brightness: float = 0.0  # mmsegmentation 32/255, 0.5, 0.5, 36 degrees; PaddleSeg 0.4, 0.4, 0.4, 25.3
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    blur: float = 0.0  # largest radius in pixels, with probability 0.5; PSPNet and PyTorch-Encoding 1

    def __post_init__(self) -> None:
        for name in ("crop", "base"):
            size = getattr(self, name)
            in_range = size is None or (len(size) == 2 and 1 <= min(size) <= max(size) <= LONGEST_SIDE)
            require(in_range, name, f"two integers from 1 to {LONGEST_SIDE}", size)
        in_range = len(self.scale) == 2 and 1 / LARGEST_SCALE <= self.scale[0] <= self.scale[1] <= LARGEST_SCALE
        factors = f"a lowest and a highest factor, from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE}"
        require(in_range, "scale", factors, self.scale)
        require_choice("distortion", self.distortion, get_args(Distortion))
        require(0 < self.largest_share <= 1, "largest_share", "above 0 and at most 1", self.largest_share)
        for name, highest in MAXIMA.items():
            value, unit = getattr(self, name), " degrees" * (name == "hue")
            require(0 <= value <= highest, name, f"from 0 to {highest}{unit}", value)


def augment(
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    settings: Augmentation,
    random: KeyedRandom,
    padding: Colour,
) -> tuple[UInt8[np.ndarray, "p q 3"], UInt8[np.ndarray, "p q"]]:
    """Return an image of the crop's size and its labels, padded below and to the right with `padding` and void.

    The image is resized bilinearly, with antialiasing where it shrinks; the labels by the nearest pixel.
    """
    original = (labels.shape[0], labels.shape[1])
    based = original if settings.base is None else fitted(original, *settings.base)
    size = scaled(based, _scale(settings, random))
    height, width = min(size[0], settings.crop[0]), min(size[1], settings.crop[1])
    top, left, labels = _crop_labels(labels, size, (height, width), settings.largest_share, random)
    cropped_image = _crop_image(image, size, top, left, height, width)
    if random.chance(settings.flip):
        cropped_image, labels = cropped_image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), labels[:, ::-1]
    ranges = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    cropped_image = change_colour(cropped_image, *ranges, random, settings.distortion)
    if settings.blur and random.chance(0.5):
        cropped_image = cropped_image.filter(ImageFilter.GaussianBlur(random.uniform(0, settings.blur)))
    padded_image = np.empty((*settings.crop, 3), np.uint8)
    padded_image[:] = padding
    padded_image[:height, :width] = np.asarray(cropped_image)
    padded_labels = np.full(settings.crop, IGNORE, np.uint8)
    padded_labels[:height, :width] = labels
    return padded_image, padded_labels


def _scale(settings: Augmentation, random: KeyedRandom) -> float:
    """Draw a factor uniformly within the range, or from its steps."""
    lowest, highest = settings.scale
    if not settings.scale_step:
        return random.uniform(lowest, highest)
    steps = int((highest - lowest) / settings.scale_step + 1e-9)
    return lowest + settings.scale_step * random.integer(0, steps)


def _crop_labels(
    labels: UInt8[np.ndarray, "h w"], size: Size, crop: Size, largest_share: float, random: KeyedRandom
) -> tuple[int, int, UInt8[np.ndarray, "p q"]]:
    """Return a random (top, left) in the image of `size`, and the labels there; the last attempt always counts."""
    attempts = 1 if largest_share == 1 else CROP_ATTEMPTS
    for _ in range(attempts):
        top, left = (random.integer(0, full - part) for full, part in zip(size, crop, strict=True))
        rows = nearest(labels.shape[0], size[0], top, crop[0])
        columns = nearest(labels.shape[1], size[1], left, crop[1])
        cropped = labels[rows[:, None], columns]
        if attempts == 1:
            break
        counts = np.bincount(cropped.reshape(-1), minlength=IGNORE + 1)[:IGNORE]
        if 0 < counts.max() < largest_share * counts.sum():
            break
    return top, left, cropped


def _crop_image(
    image: UInt8[np.ndarray, "h w 3"], size: Size, top: int, left: int, height: int, width: int
) -> Image.Image:
    """Return the crop of the image resized to `size`, without resizing the rest."""
    down, across = image.shape[0] / size[0], image.shape[1] / size[1]  # source pixels per pixel
    bottom, right = min((top + height) * down, image.shape[0]), min((left + width) * across, image.shape[1])
    box = (left * across, top * down, right, bottom)
    return Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box=box)
