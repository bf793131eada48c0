"""Random changes of brightness, contrast, saturation and hue.

mmseg   mmsegmentation's PhotoMetricDistortion (SSD, Liu et al., ECCV 2016): add brightness, multiply by contrast, then
        saturation and hue. With probability 0.5 contrast comes last.
paddle  PaddleSeg's RandomDistort (d7975e7, paddleseg/transforms/transforms.py and functional.py:90-114): brightness
        scales about black, contrast about the mean grey; the four in random order.

Saturation and hue scale and rotate YIQ's colour plane, not HSV's cone. This is one matrix, exact in integers, so all
machines give the same bytes.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from PIL import Image

from danet_common.numerics.keyed_random import KeyedRandom

Distortion = Literal["mmseg", "paddle"]

# NTSC's luma and its two colour differences, from RGB.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
STEPS = 4096  # of a matrix element; sums of three products with bytes stay multiples of 1 / STEPS, exact in float32


def change_colour(
    image: Image.Image,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    random: KeyedRandom,
    distortion: Distortion = "mmseg",
) -> Image.Image:
    """Change the colours of an RGB image, each with probability 0.5, by a random amount between -range and +range.

    Contrast and saturation are factors around 1; hue is in degrees. Brightness is added, in parts of 255, for mmseg,
    and a factor around 1 for paddle.
    """
    if distortion == "paddle":
        return _change_in_random_order(image, (brightness, contrast, saturation, hue), random)
    shift = 255 * _amount(brightness, random)
    gain = 1 + _amount(contrast, random)
    factor = 1 + _amount(saturation, random)
    turn = _amount(hue, random)
    last = bool(contrast and (saturation or hue)) and random.chance(0.5)  # drawn only where the order matters
    if shift or (gain != 1 and not last):
        image = _mapped(image, (np.arange(256) + shift) * (1 if last else gain))
    if factor != 1 or turn:
        image = image.convert("RGB", colour_matrix(factor, turn))
    return _mapped(image, np.arange(256) * gain) if last and gain != 1 else image


def _change_in_random_order(image: Image.Image, limits: tuple[float, ...], random: KeyedRandom) -> Image.Image:
    """Change brightness, contrast, saturation and hue in a random order."""
    amounts = [_amount(limit, random) for limit in limits]
    order = list(range(len(limits)))
    for last in range(len(order) - 1, 0, -1):  # Fisher-Yates
        chosen = random.integer(0, last)
        order[last], order[chosen] = order[chosen], order[last]
    for kind in order:
        amount = amounts[kind]
        if amount == 0:
            continue
        if kind == 0:
            image = _mapped(image, np.arange(256) * (1 + amount))
        elif kind == 1:
            grey = mean_grey(image)
            image = _mapped(image, grey + (np.arange(256) - grey) * (1 + amount))
        else:
            factor, turn = (1 + amount, 0.0) if kind == 2 else (1.0, amount)
            image = image.convert("RGB", colour_matrix(factor, turn))
    return image


def mean_grey(image: Image.Image) -> int:
    """Return the mean grey of an image, rounded half up, as Pillow's contrast has it."""
    counts = image.convert("L").histogram()
    pixels = sum(counts)
    return (2 * sum(value * count for value, count in enumerate(counts)) + pixels) // (2 * pixels)


def _mapped(image: Image.Image, values: np.ndarray) -> Image.Image:
    """Replace each of the 256 values of an RGB image, rounded and clipped."""
    return image.point(np.floor(values.clip(0, 255) + 0.5).astype(int).tolist() * 3)


def _amount(limit: float, random: KeyedRandom) -> float:
    """Draw twice whether on or off, so that a setting does not change the later random numbers."""
    chosen, amount = random.chance(0.5), random.uniform(-limit, limit)
    return amount if chosen else 0.0


def colour_matrix(saturation: float, degrees: float) -> tuple[float, ...]:
    """Return Pillow's 3 x 4 matrix from RGB to RGB, in multiples of 1 / STEPS. It keeps greys."""
    cosine, sine = saturation * math.cos(math.radians(degrees)), saturation * math.sin(math.radians(degrees))
    plane = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    steps = np.rint(np.linalg.inv(YIQ) @ plane @ YIQ * STEPS)
    steps[:, 1] += STEPS - steps.sum(axis=1)  # rounding must not tint greys; green is the largest share of them
    return tuple((np.pad(steps, ((0, 0), (0, 1))) / STEPS).reshape(-1).tolist())
