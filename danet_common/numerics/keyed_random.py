"""Random numbers that can be drawn again: each key has a stream of its own, the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import UInt8


class KeyedRandom:
    """The stream of one key, from a counter-based generator.

    Only Philox's raw bits are used. NumPy keeps those for ever, while its distributions may change with a
    version; and everything below is integer arithmetic or exactly rounded, so no platform differs.
    """

    def __init__(self, *key: str | int) -> None:
        digest = hashlib.sha256(":".join(["danet", *map(str, key)]).encode()).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest[:16], "little"))

    def fraction(self) -> float:
        """In [0, 1), a multiple of 2**-53."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        """Between the two."""
        return low + (high - low) * self.fraction()

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return low + (int(self._bits.random_raw()) * (high - low + 1) >> 64)

    def chance(self, probability: float) -> bool:
        """True with this probability: never at 0, always at 1."""
        return self.fraction() < probability

    def bytes(self, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
        """An array of 0..255."""
        count = height * width
        raw = np.asarray(self._bits.random_raw(-(-count // 8)), "<u8")  # eight bytes a draw, the lowest first
        return raw.view(np.uint8)[:count].reshape(height, width)
