"""Types of the options of the benchmarks' command lines."""

from __future__ import annotations


def size(text: str) -> tuple[int, int]:
    """Return height and width of `HxW`. Raises ValueError unless both are positive."""
    height, width = map(int, text.split("x"))
    if min(height, width) < 1:
        raise ValueError(f"no pixels in {text}")
    return height, width


def sizes(text: str) -> list[tuple[int, int]]:
    """Return the sizes of `HxW,HxW`."""
    return [size(word) for word in words(text)]


def words(text: str) -> list[str]:
    """Split at commas."""
    return text.split(",")


def numbers(text: str) -> list[int]:
    """Return the integers of `N,N`."""
    return [int(word) for word in words(text)]
