"""Read tensors on another thread, ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

AHEAD = 2  # tensors; they are in memory together with the one in use


def prefetch(tensors: Mapping[str, np.ndarray], names: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield these tensors with their names, in order; another thread reads and hashes the next ones meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming: deque[tuple[str, Future[np.ndarray]]] = deque()
        for name in names:
            coming.append((name, thread.submit(tensors.__getitem__, name)))
            if len(coming) > AHEAD:
                oldest, array = coming.popleft()
                yield oldest, array.result()
        for oldest, array in coming:
            yield oldest, array.result()
