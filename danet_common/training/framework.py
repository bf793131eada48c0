"""What the loop needs of a framework: its functions, handed over by whoever may import it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Framework:
    """The functions of one of the three packages, under their names there; states, models and losses are its own."""

    name: str  # torch, tf or jax
    restore: Callable[..., Any]
    capture: Callable[..., Any]
    train_step: Callable[..., Any]
    from_checkpoint: Callable[..., Any]
    set_tensors: Callable[..., Any]
    infer: Callable[..., Any]
