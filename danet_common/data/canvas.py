"""Paint an image and its labels together, in integers, so that all platforms give the same bytes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from danet_common.config.classes import Colour
from danet_common.data.dataset import IGNORE
from danet_common.numerics.keyed_random import KeyedRandom

Mask = Bool[np.ndarray, "h w"]


class Canvas:
    """Colours (H, W, 3) int16 and labels (H, W) uint8; later paint covers earlier paint."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.colours = np.zeros((height, width, 3), np.int16)
        self.labels = np.zeros((height, width), np.uint8)

    def paint(self, top: int, left: int, mask: Mask, label: int, colour: Colour) -> None:
        """Paint a mask, whose corner is at (top, left), with a class and a colour."""
        bottom, right = min(top + mask.shape[0], self.height), min(left + mask.shape[1], self.width)
        rows, columns = slice(max(top, 0), bottom), slice(max(left, 0), right)
        if rows.start >= bottom or columns.start >= right:
            return  # outside
        visible = mask[rows.start - top : bottom - top, columns.start - left : right - left]
        self.labels[rows, columns][visible] = label
        self.colours[rows, columns][visible] = colour

    def grain(self, strength: tuple[int, ...], random: KeyedRandom) -> None:
        """Change the brightness of pixels and of 4 x 4 blocks at random, by at most `strength[label]`."""
        blocks = random.bytes(-(-self.height // 4), -(-self.width // 4)).repeat(4, 0).repeat(4, 1)
        pixels = random.bytes(self.height, self.width)
        noise = (blocks[: self.height, : self.width].astype(np.int16) + pixels - 255) // 2
        self.colours += (noise * np.asarray(strength, np.int16)[self.labels] // 128)[..., None]

    def light(self, gain: int) -> None:
        """Multiply all colours by gain / 256."""
        self.colours[:] = np.clip(self.colours.astype(np.int32) * gain // 256, 0, 255)

    def edge(self) -> None:
        """Draw a line of void where 2 classes meet."""
        labels = self.labels.copy()
        self.labels[:, :-1][labels[:, :-1] != labels[:, 1:]] = IGNORE
        self.labels[:-1][labels[:-1] != labels[1:]] = IGNORE


def rectangle(height: int, width: int) -> Mask:
    """Return the mask of a rectangle."""
    return np.ones((max(height, 0), max(width, 0)), bool)


def ellipse(height: int, width: int) -> Mask:
    """Return the largest ellipse of a height and width."""
    rows = (2 * np.arange(height) + 1 - height)[:, None]  # twice the distance of pixel centres from the middle
    columns = 2 * np.arange(width) + 1 - width
    return (rows * width) ** 2 + (columns * height) ** 2 <= (height * width) ** 2


def trapezoid(height: int, top: int, bottom: int, lean: int = 0) -> Mask:
    """Return a trapezoid of widths `top` and `bottom`; its top lies `lean` pixels right of the bottom's middle."""
    width = max(bottom, top + 2 * abs(lean))
    rows = np.arange(height)[:, None]
    last = max(height - 1, 1)
    middles = width * last + 2 * lean * (last - rows)  # all in units of 1 / (2 * last) pixel
    widths = top * (last - rows) + bottom * rows
    columns = (2 * np.arange(width) + 1) * last
    return np.abs(columns - middles) <= widths
