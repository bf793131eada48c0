"""The processes and devices that a run is spread over, joined by the framework's own means."""

from __future__ import annotations

import numpy as np


class Engine:
    """The processes that were started together, or this process alone.

    process_index  of this process, from 0; the first one writes the files
    process_count  each has its part of the rows of a global batch
    """

    def __init__(self) -> None:
        self.process_index = 0
        self.process_count = 1

    def describe(self) -> str:
        """For people."""
        return "1 process"

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Of all processes' arrays, the same in each."""
        return array

    def close(self) -> None:
        """Leave the others."""


def start_engine() -> Engine:
    """Join the processes that the environment speaks of."""
    return Engine()
