"""Random numbers that can be drawn again: each key has a stream of its own, the same on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import UInt8


def stream_key(*key: str | int) -> int:
    """Return a number of 128 bits: the start of the SHA-256 of the key's parts, joined by colons."""
    digest = hashlib.sha256(":".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:16], "little")


def philox(*key: str | int) -> np.random.Philox:
    """Return the counter-based generator of a key. NumPy keeps its raw bits for ever; distributions may change."""
    return np.random.Philox(key=stream_key(*key))


class KeyedRandom:
    """The stream of one key: raw bits, integer arithmetic and exact rounding only, so no platform differs."""

    def __init__(self, *key: str | int) -> None:
        self._bits = philox("danet", *key)

    def fraction(self) -> float:
        """Return a multiple of 2**-53 in [0, 1)."""
        return (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def uniform(self, low: float, high: float) -> float:
        """Return a number between the two."""
        return low + (high - low) * self.fraction()

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return low + (int(self._bits.random_raw()) * (high - low + 1) >> 64)

    def chance(self, probability: float) -> bool:
        """True with this probability: never at 0, always at 1."""
        return self.fraction() < probability

    def bytes(self, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
        """Return an array of 0..255."""
        count = height * width
        raw = np.asarray(self._bits.random_raw(-(-count // 8)), "<u8")  # eight bytes a draw, the lowest first
        return raw.view(np.uint8)[:count].reshape(height, width)
