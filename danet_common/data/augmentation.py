"""What is done to a training picture: scaled, cropped, flipped, recoloured, padded.

Any item of any epoch can be made again alone: its draws have a stream of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from danet_common.config.classes import Colour
from danet_common.data.colour import Distortion, change_colour
from danet_common.data.dataset import IGNORE
from danet_common.data.resizing import Size, fitted, nearest, scaled
from danet_common.numerics.keyed_random import KeyedRandom

LONGEST_SIDE = 65_535  # pixels, of a crop or a base: a JPEG has no longer side
LARGEST_SCALE = 100  # a pixel of the picture is a hundred of the crop
LARGEST_BLUR = 1000  # pixels
CROP_ATTEMPTS = 10  # for `largest_share`, as mmsegmentation


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The settings of training pictures. Raises ValueError, naming the field, where a value means nothing.

    The defaults are those of the paper: random scaling from 0.5 to 2, cropping and flipping.
    """

    crop: Size = (768, 768)  # height, width of every training picture; the paper's on Cityscapes
    base: Size | None = None  # long and short side that scale 1 fits pictures into; None: each its own size
    scale: tuple[float, float] = (0.5, 2.0)  # uniform between the two; 1, 1 is off
    scale_step: float = 0.0  # between the scales that are drawn, from the lowest; 0: all between; PaddleSeg 0.25
    flip: float = 0.5  # probability of left for right
    largest_share: float = 1.0  # of one class in a crop, else another is tried; mmsegmentation 0.75
    distortion: Distortion = "mmseg"  # what these four mean, and in which order: see colour.py
    brightness: float = 0.0  # mmsegmentation 32/255, 0.5, 0.5, 36 degrees; PaddleSeg 0.4, 0.4, 0.4, 25.3
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    blur: float = 0.0  # largest radius in pixels, on every second picture; PSPNet and PyTorch-Encoding 1

    def __post_init__(self) -> None:
        for name in ("crop", "base"):
            size = getattr(self, name)
            if size is not None and (len(size) != 2 or min(size) < 1 or max(size) > LONGEST_SIDE):
                raise ValueError(f"{name} must be two integers from 1 to {LONGEST_SIDE}; got {size!r}")
        if len(self.scale) != 2 or not 1 / LARGEST_SCALE <= self.scale[0] <= self.scale[1] <= LARGEST_SCALE:
            raise ValueError(
                f"scale must be a lowest and a highest factor, from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE}; "
                f"got {self.scale!r}"
            )
        if not 0 <= self.scale_step <= LARGEST_SCALE:
            raise ValueError(f"scale_step must be from 0 to {LARGEST_SCALE}; got {self.scale_step!r}")
        if self.distortion not in get_args(Distortion):
            known = ", ".join(get_args(Distortion))
            raise ValueError(f"distortion must be one of {known}; got {self.distortion!r}")
        for name in ("flip", "brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1; got {getattr(self, name)!r}")
        if not 0 < self.largest_share <= 1:
            raise ValueError(f"largest_share must be above 0 and at most 1; got {self.largest_share!r}")
        if not 0 <= self.hue <= 180:
            raise ValueError(f"hue must be from 0 to 180 degrees; got {self.hue!r}")
        if not 0 <= self.blur <= LARGEST_BLUR:
            raise ValueError(f"blur must be from 0 to {LARGEST_BLUR}; got {self.blur!r}")


def augment(
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    settings: Augmentation,
    draws: KeyedRandom,
    padding: Colour,
) -> tuple[UInt8[np.ndarray, "p q 3"], UInt8[np.ndarray, "p q"]]:
    """A picture of the crop's size and its labels; where it is smaller, `padding` and void are below and right.

    The image is sampled bilinearly (antialiased where it shrinks), the labels by the nearest.
    """
    original = (labels.shape[0], labels.shape[1])
    based = original if settings.base is None else fitted(original, *settings.base)
    size = scaled(based, _scale(settings, draws))
    height, width = min(size[0], settings.crop[0]), min(size[1], settings.crop[1])
    top, left, labels = _crop_labels(labels, size, (height, width), settings.largest_share, draws)
    shown = _crop_image(image, size, top, left, height, width)
    if draws.chance(settings.flip):
        shown, labels = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT), labels[:, ::-1]
    ranges = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    shown = change_colour(shown, *ranges, draws, settings.distortion)
    if settings.blur and draws.chance(0.5):
        shown = shown.filter(ImageFilter.GaussianBlur(draws.uniform(0, settings.blur)))
    picture = np.empty((*settings.crop, 3), np.uint8)
    picture[:] = padding
    picture[:height, :width] = np.asarray(shown)
    truth = np.full(settings.crop, IGNORE, np.uint8)
    truth[:height, :width] = labels
    return picture, truth


def _scale(settings: Augmentation, draws: KeyedRandom) -> float:
    """One factor within the range; with a step, one of the lowest scale plus whole steps, all alike."""
    lowest, highest = settings.scale
    if not settings.scale_step:
        return draws.uniform(lowest, highest)
    steps = int((highest - lowest) / settings.scale_step + 1e-9)
    return lowest + settings.scale_step * draws.integer(0, steps)


def _crop_labels(
    labels: UInt8[np.ndarray, "h w"], size: Size, crop: Size, largest_share: float, draws: KeyedRandom
) -> tuple[int, int, UInt8[np.ndarray, "p q"]]:
    """A random place (top, left) in the picture of `size`, and the labels there; the last attempt is taken as it is."""
    attempts = 1 if largest_share == 1 else CROP_ATTEMPTS
    for _ in range(attempts):
        top, left = (draws.integer(0, whole - part) for whole, part in zip(size, crop, strict=True))
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
    """The part of the picture resized to `size` that the crop shows; nothing else of it is computed."""
    down, across = image.shape[0] / size[0], image.shape[1] / size[1]  # source pixels per pixel
    bottom, right = min((top + height) * down, image.shape[0]), min((left + width) * across, image.shape[1])
    box = (left * across, top * down, right, bottom)
    return Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box=box)
