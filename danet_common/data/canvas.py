"""A picture and its labels painted together, so that every pixel's class is known exactly.

Integers only: the same on every platform.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from danet_common.config.classes import Colour
from danet_common.data.dataset import IGNORE
from danet_common.numerics.keyed_random import KeyedRandom

Mask = Bool[np.ndarray, "h w"]


class Canvas:
    """colours (H, W, 3) int16, labels (H, W) uint8; what is painted later hides what was before."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.colours = np.zeros((height, width, 3), np.int16)
        self.labels = np.zeros((height, width), np.uint8)

    def paint(self, top: int, left: int, mask: Mask, label: int, colour: Colour) -> None:
        """Give the pixels of a mask, placed with its corner at (top, left), one class and colour."""
        bottom, right = min(top + mask.shape[0], self.height), min(left + mask.shape[1], self.width)
        rows, columns = slice(max(top, 0), bottom), slice(max(left, 0), right)
        if rows.start >= bottom or columns.start >= right:
            return  # all of it is outside
        seen = mask[rows.start - top : bottom - top, columns.start - left : right - left]
        self.labels[rows, columns][seen] = label
        self.colours[rows, columns][seen] = colour

    def grain(self, strength: tuple[int, ...], draws: KeyedRandom) -> None:
        """Change brightness at random, by blocks of 4 and by pixel, at most by `strength[label]`."""
        blocks = draws.bytes(-(-self.height // 4), -(-self.width // 4)).repeat(4, 0).repeat(4, 1)
        pixels = draws.bytes(self.height, self.width)
        noise = (blocks[: self.height, : self.width].astype(np.int16) + pixels - 255) // 2
        self.colours += (noise * np.asarray(strength, np.int16)[self.labels] // 128)[..., None]

    def light(self, gain: int) -> None:
        """Brighten or darken all of it: 256 leaves it as it is."""
        self.colours[:] = np.clip(self.colours.astype(np.int32) * gain // 256, 0, 255)

    def edge(self) -> None:
        """Make a line of void where two classes meet."""
        labels = self.labels.copy()
        self.labels[:, :-1][labels[:, :-1] != labels[:, 1:]] = IGNORE
        self.labels[:-1][labels[:-1] != labels[1:]] = IGNORE


def rectangle(height: int, width: int) -> Mask:
    """All of it."""
    return np.ones((max(height, 0), max(width, 0)), bool)


def ellipse(height: int, width: int) -> Mask:
    """The largest that fits."""
    rows = (2 * np.arange(height) + 1 - height)[:, None]  # twice the distance of pixel centres from the middle
    columns = 2 * np.arange(width) + 1 - width
    return (rows * width) ** 2 + (columns * height) ** 2 <= (height * width) ** 2


def trapezoid(height: int, top: int, bottom: int, lean: int = 0) -> Mask:
    """Wide `top` above and `bottom` below; the top stands `lean` pixels right of the middle of the bottom.

    The mask is as wide as the bottom, or as the top where that reaches further.
    """
    width = max(bottom, top + 2 * abs(lean))
    rows = np.arange(height)[:, None]
    last = max(height - 1, 1)
    middles = width * last + 2 * lean * (last - rows)  # all in units of 1 / (2 * last) pixel
    widths = top * (last - rows) + bottom * rows
    columns = (2 * np.arange(width) + 1) * last
    return np.abs(columns - middles) <= widths
