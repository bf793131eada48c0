"""Random changes of brightness, contrast, saturation and hue.

Two projects' distortions, by their ranges and orders:

mmseg   SSD's (Liu et al., ECCV 2016), as mmsegmentation has it (PhotoMetricDistortion): brightness is added, contrast
        multiplies every pixel about black; then saturation and hue. With an even chance contrast comes last.
paddle  PaddleSeg's (d7975e7, paddleseg/transforms/transforms.py, RandomDistort, and functional.py:90-114): brightness
        multiplies about black, contrast about the picture's mean grey; the four in random order.

In both, saturation and hue are a rotation and scaling of YIQ's colour plane instead of HSV's cone: one small matrix
that is exact in integers, so that the same draw gives the same bytes on every machine.
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
    draws: KeyedRandom,
    distortion: Distortion = "mmseg",
) -> Image.Image:
    """Change an RGB image's colours, each with an even chance, by a random amount within plus and minus its range.

    Contrast and saturation are factors around 1; hue turns, in degrees. mmseg adds brightness, in parts of 255; for
    paddle it is a factor around 1.
    """
    if distortion == "paddle":
        return _change_in_random_order(image, (brightness, contrast, saturation, hue), draws)
    shift = 255 * _amount(brightness, draws)
    gain = 1 + _amount(contrast, draws)
    factor = 1 + _amount(saturation, draws)
    turn = _amount(hue, draws)
    last = bool(contrast and (saturation or hue)) and draws.chance(0.5)  # drawn only where the order matters
    if shift or (gain != 1 and not last):
        image = _mapped(image, (np.arange(256) + shift) * (1 if last else gain))
    if factor != 1 or turn:
        image = image.convert("RGB", colour_matrix(factor, turn))
    return _mapped(image, np.arange(256) * gain) if last and gain != 1 else image


def _change_in_random_order(image: Image.Image, limits: tuple[float, ...], draws: KeyedRandom) -> Image.Image:
    """Brightness, contrast, saturation and hue, one after another in an order that is drawn."""
    amounts = [_amount(limit, draws) for limit in limits]
    order = list(range(len(limits)))
    for place in range(len(order) - 1, 0, -1):  # Fisher and Yates
        other = draws.integer(0, place)
        order[place], order[other] = order[other], order[place]
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
    """The mean of an image's grey values, rounded half up, in integers: what Pillow's contrast turns about."""
    counts = image.convert("L").histogram()
    pixels = sum(counts)
    return (2 * sum(value * count for value, count in enumerate(counts)) + pixels) // (2 * pixels)


def _mapped(image: Image.Image, values: np.ndarray) -> Image.Image:
    """An RGB image with each of its 256 values replaced by another, rounded and clipped."""
    return image.point(np.floor(values.clip(0, 255) + 0.5).astype(int).tolist() * 3)


def _amount(limit: float, draws: KeyedRandom) -> float:
    """Two draws whether it is on or not, so that one setting does not move another's stream."""
    chosen, amount = draws.chance(0.5), draws.uniform(-limit, limit)
    return amount if chosen else 0.0


def colour_matrix(saturation: float, degrees: float) -> tuple[float, ...]:
    """RGB to RGB as Pillow takes it: three rows of three factors, in multiples of 1 / STEPS, and 0. Greys stay."""
    cosine, sine = saturation * math.cos(math.radians(degrees)), saturation * math.sin(math.radians(degrees))
    plane = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    steps = np.rint(np.linalg.inv(YIQ) @ plane @ YIQ * STEPS)
    steps[:, 1] += STEPS - steps.sum(axis=1)  # rounding must not tint greys; green is the largest share of them
    return tuple((np.pad(steps, ((0, 0), (0, 1))) / STEPS).reshape(-1).tolist())
