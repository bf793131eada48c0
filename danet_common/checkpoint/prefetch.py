"""Reading tensors ahead of what is made of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

AHEAD = 2  # tensors; they are in memory together with the one in use


def prefetch(tensors: Mapping[str, np.ndarray], names: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Each of these tensors with its name, in order; the next are read, and hashed, meanwhile on another thread."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming: deque[tuple[str, Future[np.ndarray]]] = deque()
        for name in names:
            coming.append((name, thread.submit(tensors.__getitem__, name)))
            if len(coming) > AHEAD:
                first, array = coming.popleft()
                yield first, array.result()
        for first, array in coming:
            yield first, array.result()
