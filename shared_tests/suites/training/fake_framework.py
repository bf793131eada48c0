"""A framework that computes next to nothing, so that the loop around it can be tested at every moment of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from danet_common import Checkpoint
from danet_common.training.framework import Framework
from danet_common.training.training_checkpoint import TrainingCheckpoint

NAME = "head.fused_classifier.bias"  # the one tensor that learns

Moment = Callable[[str, int], None]  # called with "train_step" or "predict_logits", and the step


@dataclass
class FakeState:
    """A run whose step is a sum over its batch."""

    training: TrainingCheckpoint
    step: int
    tensors: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass
class FakeDistributed:
    """One of several processes, which it plays alone; `others` is the part of all others in each sum."""

    process_index: int = 0
    process_count: int = 1
    others: int = 0

    @property
    def device_count(self) -> int:
        return self.process_count

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum with the part of the others."""
        return array + self.others

    def describe(self) -> str:
        return "a fake process"

    def close(self) -> None:
        """Do nothing: there is no group to leave."""


def fake_framework(
    moment: Moment = lambda name, step: None, loss: Callable[[int], float] = lambda step: 1.0, name: str = "torch"
) -> Framework:
    """A framework whose every step depends on all that a real one's does: weights, batch and number.

    moment  called when a step or an inference begins; it may raise, send a signal, or look around
    loss    step, from 1 -> a factor on its loss
    """

    def restore(training: TrainingCheckpoint, distributed: FakeDistributed, pixels: int | None = None) -> FakeState:
        return FakeState(training, training.step, {n: np.array(a) for n, a in training.tensors.items()})

    def capture(state: FakeState, data: Mapping[str, Any]) -> TrainingCheckpoint:
        first = state.training
        tensors = {name: array.copy() for name, array in state.tensors.items()}
        return TrainingCheckpoint(first.config, first.recipe, state.step, tensors, first.slots, data, {"backend": name})

    def train_step(state: FakeState, batch: Mapping[str, np.ndarray], first_row: int) -> dict[str, float]:
        moment("train_step", state.step + 1)
        seen = float(batch["image"].astype(np.float64).mean() + batch["labels"].astype(np.float64).mean() / 100)
        state.step, classes = state.step + 1, len(state.tensors[NAME])
        state.tensors[NAME] = (state.tensors[NAME] * 0.9 + np.arange(classes) * seen / state.step).astype(np.float32)
        value = loss(state.step) * (abs(seen) + float(np.abs(state.tensors[NAME]).sum()))
        return {"loss": value, "fused": value, "position": value / 2, "channel": value / 3}

    def predict_logits(model: dict[str, np.ndarray], pictures: np.ndarray) -> np.ndarray:
        moment("predict_logits", 0)
        favoured = math.floor(float(np.abs(model[NAME]).sum()) * 1000) % len(model[NAME])
        logits = np.zeros((*pictures.shape[:3], len(model[NAME])), np.float32)
        logits[..., 0] = pictures.sum(3)
        logits[..., favoured] += 1
        return logits

    def from_checkpoint(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
        return dict(checkpoint.tensors)

    def set_tensors(model: dict[str, np.ndarray], tensors: Mapping[str, np.ndarray]) -> None:
        model.update(tensors)

    return Framework(name, restore, capture, train_step, from_checkpoint, set_tensors, predict_logits)
