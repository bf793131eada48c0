"""Draw an image, its mask and their overlay in one picture, with a legend of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from danet_common.data.image import Palette, overlay

LARGEST, SMALLEST = 1024, 160  # pixels of a panel's longer side
MARGIN = 12
TEXT = 16  # pixels
INK, PAPER = (20, 20, 20), (255, 255, 255)


def side_by_side(
    image: UInt8[np.ndarray, "h w 3"],
    labels: Integer[np.ndarray, "h w"],
    palette: Palette,
    names: Sequence[str],
    opacity: float,
) -> UInt8[np.ndarray, "p q 3"]:
    """Return 3 panels and, below them, each predicted class with its share of the pixels, in descending order.

    The panels stand in a row, or in a column where the image is more than twice as wide as high.
    """
    colours = np.asarray(palette, np.uint8)[labels]
    panels = [_panel(pixels) for pixels in (image, colours, overlay(image, labels, palette, opacity))]
    width, height = panels[0].size
    is_column = width > 2 * height
    steps = [(0, (height + MARGIN) * i) if is_column else ((width + MARGIN) * i, 0) for i in range(3)]
    right, bottom = MARGIN + steps[2][0] + width, MARGIN + steps[2][1] + height
    entries = _legend(labels, names)
    font = ImageFont.load_default(TEXT)
    places, right, bottom = _places([text for _, text in entries], font, right, bottom)
    sheet = Image.new("RGB", (right + MARGIN, bottom + MARGIN), PAPER)
    for panel, (left, top) in zip(panels, steps, strict=True):
        sheet.paste(panel, (MARGIN + left, MARGIN + top))
    draw = ImageDraw.Draw(sheet)
    for (label, text), (left, top) in zip(entries, places, strict=True):
        draw.rectangle((left, top, left + TEXT, top + TEXT), tuple(palette[label]), INK)
        draw.text((left + TEXT + MARGIN // 2, top), text, INK, font)
    return np.array(sheet)


def _panel(pixels: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    """Return a panel within the size limits; enlarging does not mix the colours of a mask."""
    picture = Image.fromarray(pixels)
    longest = max(picture.size)
    scale = min(LARGEST / longest, 1.0) if longest >= SMALLEST else SMALLEST / longest
    if scale == 1.0:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


def _legend(labels: Integer[np.ndarray, "h w"], names: Sequence[str]) -> list[tuple[int, str]]:
    """Return the predicted classes, and their texts in the legend."""
    classes, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(classes[i]), f"{names[classes[i]]} {counts[i] / labels.size:.1%}") for i in order]


def _places(
    texts: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, right: int, bottom: int
) -> tuple[list[tuple[int, int]], int, int]:
    """Return left and top of each entry in lines below the panels, and the right and bottom of all."""
    places, left, top = [], MARGIN, bottom + MARGIN
    for text in texts:
        width = TEXT + MARGIN // 2 + round(font.getlength(text))
        if left > MARGIN and left + width > right:
            left, top = MARGIN, top + TEXT + MARGIN // 2
        places.append((left, top))
        left += width + 2 * MARGIN
        right = max(right, places[-1][0] + width)
    return places, right, top + TEXT + MARGIN // 2
