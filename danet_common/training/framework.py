"""The parts of a framework that the training loop uses; the caller, which may import a framework, hands them over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Distributed(Protocol):
    """The processes of a run. `process_index` counts from 0; the first process writes the files."""

    process_index: int
    process_count: int

    @property
    def device_count(self) -> int:
        """Devices of all processes together."""

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of all processes' arrays, the same in each."""

    def describe(self) -> str:
        """Return such words as "2 processes, 4 cuda devices"."""

    def close(self) -> None:
        """Leave the group of processes when all are done."""


class TrainState(Protocol):
    """A network, its optimizer and the number of steps done, in a framework's own types."""

    step: int


@dataclass(frozen=True)
class Framework:
    """The functions of one of the three packages, under their names there; models and losses are its own."""

    name: str  # torch, tf or jax
    restore: Callable[..., TrainState]
    capture: Callable[..., Any]
    train_step: Callable[..., Any]
    from_checkpoint: Callable[..., Any]
    set_tensors: Callable[..., Any]
    predict_logits: Callable[..., np.ndarray]
