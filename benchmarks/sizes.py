"""Sizes of pictures on a benchmark's command line."""

from __future__ import annotations


def size(text: str) -> tuple[int, int]:
    """Height and width of `HxW`. Raises ValueError unless both are positive."""
    height, width = map(int, text.split("x"))
    if min(height, width) < 1:
        raise ValueError(f"no pixels in {text}")
    return height, width


def sizes(text: str) -> list[tuple[int, int]]:
    """Of `HxW,HxW`."""
    return [size(word) for word in text.split(",")]
