"""Choose the input of a check: built-in noise, or an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from danet_common.data.image import normalise, read_image, resize_image
from shared_tests.parity.check import Input, built_in_input

BUILT_IN_SIZE = (65, 97)  # odd and not square
LONGEST = 256  # side of an image if no size is given: the reference keeps every tap in float64


def choose_input(image: Path | None, size: tuple[int, int] | None) -> tuple[dict[str, Any], Input]:
    """Return the input's facts for the report, and the function that makes the input for a config."""
    if image is None:
        height, width = size or BUILT_IN_SIZE
        return {"kind": "built-in noise", "height": height, "width": width}, built_in_input(height, width)
    pixels = read_image(image)
    height, width = size or fit_size(pixels.shape[0], pixels.shape[1], LONGEST)
    pixels = resize_image(pixels, height, width)
    facts = {"kind": "image", "path": str(image), "height": height, "width": width}
    return facts, lambda config: normalise(pixels, config).transpose(2, 0, 1)[None]


def fit_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return the size, shrunk in proportion where a side is longer than `longest`."""
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
