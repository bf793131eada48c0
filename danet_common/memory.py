"""Memory for activations that is used again as soon as nothing lies in it.

What a program frees in large pieces goes back to the system, and the next piece is of new pages, each found and filled
with zeros when it is first touched: a tenth of a large picture's time. Compilers plan a network's memory; this is for
PyTorch, which does not.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np

LARGE = 1 << 25  # bytes from which on glibc's malloc always goes to the system
SPARE = 4  # times what is asked for that a new piece has: pages take no memory before they are touched
BAND_SIZE = 1 << 21  # entries of a 1x1 convolution that are computed at once, into such memory: 8 MiB in float32


class Memory:
    """Pieces that nothing lies in, by their size in bytes."""

    def __init__(self) -> None:
        self.free: dict[int, list[np.ndarray]] = {}

    def lend(self, size: int) -> np.ndarray:
        """So many bytes of any content, until this very array is gone: for `torch.from_numpy`, whose tensors keep it.

        A view that NumPy makes of it does not.
        """
        fitting = [held for held, pieces in self.free.items() if pieces and held >= size]
        piece = self.free[min(fitting)].pop() if fitting else new_piece(size)
        lent = piece[:size]
        weakref.finalize(lent, take_back, weakref.ref(self), piece).atexit = False
        return lent


def new_piece(size: int) -> np.ndarray:
    """So many bytes, and some to spare where the system promises as much. Raises OSError where there is no memory."""
    try:
        return new_pages(SPARE * size)
    except OSError:
        return new_pages(size)


def new_pages(size: int) -> np.ndarray:
    """The system's, for this process alone: such as could be shared take twice the time to be touched."""
    return np.frombuffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)


def take_back(lender: weakref.ref[Memory], piece: np.ndarray) -> None:
    """Into what is free, unless the lender itself is gone: then it goes back to the system."""
    memory = lender()
    if memory is not None:
        memory.free.setdefault(piece.nbytes, []).append(piece)


current: ContextVar[Memory | None] = ContextVar("memory", default=None)


@contextlib.contextmanager
def used_again() -> Iterator[None]:
    """Within it, in this thread, `current` has a memory; what is free in it afterwards goes back to the system.

    Nothing changes on Windows, where pages count before they are touched.
    """
    token = current.set(Memory() if hasattr(mmap, "MAP_PRIVATE") else None)
    try:
        yield
    finally:
        current.reset(token)
