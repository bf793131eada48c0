"""Memory for activations that is used again as soon as nothing lies in it, in one pass and in the next.

What a program frees in large pieces goes back to the system, and the next piece is of new pages, each found and filled
with zeros when it is first touched: a tenth of a large picture's time. Compilers plan a network's memory; this is for
PyTorch, which does not.
"""

from __future__ import annotations

import contextlib
import mmap
import threading
import weakref
from collections import deque
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
        self.returned: deque[np.ndarray] = deque()  # by other threads too, or by the collector, at any moment
        self.needed: set[int] = set()  # the identities of those lent since the last `tidy`

    def lend(self, size: int) -> np.ndarray:
        """So many bytes of any content, until this very array is gone: for `torch.from_numpy`, whose tensors keep it.

        A view that NumPy makes of it does not.
        """
        self.take_back()
        fitting = [held for held, pieces in self.free.items() if pieces and held >= size]
        piece = self.free[min(fitting)].pop() if fitting else new_piece(size)
        self.needed.add(id(piece))
        lent = piece[:size]
        weakref.finalize(lent, give_back, weakref.ref(self), piece).atexit = False
        return lent

    def take_back(self) -> None:
        """What was returned is free."""
        while self.returned:
            piece = self.returned.popleft()
            self.free.setdefault(piece.nbytes, []).append(piece)

    def tidy(self) -> None:
        """Give back to the system what is free and was not lent since the last time."""
        self.take_back()
        self.free = {size: [p for p in pieces if id(p) in self.needed] for size, pieces in self.free.items()}
        self.needed.clear()


class Lenders(threading.local):
    """A thread's memories, by whom they are for, and as long as they are there."""

    def __init__(self) -> None:
        self.of: weakref.WeakKeyDictionary[object, Memory] = weakref.WeakKeyDictionary()


def new_piece(size: int) -> np.ndarray:
    """So many bytes, and some to spare where the system promises as much. Raises OSError where there is no memory."""
    try:
        return new_pages(SPARE * size)
    except OSError:
        return new_pages(size)


def new_pages(size: int) -> np.ndarray:
    """The system's, for this process alone: such as could be shared take twice the time to be touched."""
    return np.frombuffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)


def give_back(lender: weakref.ref[Memory], piece: np.ndarray) -> None:
    """To the lender, unless that itself is gone: then it goes back to the system."""
    memory = lender()
    if memory is not None:
        memory.returned.append(piece)


lenders = Lenders()
current: ContextVar[Memory | None] = ContextVar("memory", default=None)


@contextlib.contextmanager
def used_again(owner: object) -> Iterator[None]:
    """Within it, in this thread, `current` has the memory of `owner`: what one call needed is there for its next.

    It goes back to the system with `owner`, or after a call that did not need it. Nothing changes on Windows, where
    pages count before they are touched.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):
        yield
        return
    memory = lenders.of.setdefault(owner, Memory())
    token = current.set(memory)
    try:
        yield
    finally:
        current.reset(token)
        memory.tidy()
