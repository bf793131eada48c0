"""Random changes of brightness, contrast, saturation and hue.

The ranges are those of SSD's distortion (Liu et al., ECCV 2016), which mmsegmentation trains with; but
saturation and hue are a rotation and scaling of YIQ's colour plane instead of HSV's cone: one small matrix
that is exact in integers, so that the same draw gives the same bytes on every machine.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from danet_common.data.draws import Draws

# NTSC's luma and its two colour differences, from RGB.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
STEPS = 4096  # of a matrix element; sums of three products with bytes stay multiples of 1 / STEPS, exact in float32


def change_colour(
    image: Image.Image, brightness: float, contrast: float, saturation: float, hue: float, draws: Draws
) -> Image.Image:
    """An RGB image changed, each with an even chance, by a random amount within plus and minus its range.

    brightness is added, in parts of 255; contrast and saturation are factors around 1; hue turns, in degrees.
    """
    shift = 255 * _amount(brightness, draws)
    gain = 1 + _amount(contrast, draws)
    if shift or gain != 1:
        values = ((np.arange(256) + shift) * gain).clip(0, 255)
        image = image.point(np.floor(values + 0.5).astype(int).tolist() * 3)
    factor = 1 + _amount(saturation, draws)
    turn = _amount(hue, draws)
    if factor != 1 or turn:
        image = image.convert("RGB", colour_matrix(factor, turn))
    return image


def _amount(limit: float, draws: Draws) -> float:
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
