"""A run as one file that any of the three frameworks goes on from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from danet_common.checkpoint import Checkpoint
from danet_common.training_checkpoint import TrainingCheckpoint, read_training, write_training
from danet_torch.model import from_checkpoint
from danet_torch.optimizers import get_slots, set_slots, trainable_leaves
from danet_torch.train import TrainState, create_state
from danet_torch.weights import get_leaf, get_tensors, set_leaf


def save_state(state: TrainState, path: str | os.PathLike[str], data: Mapping[str, Any] | None = None) -> None:
    """Write a run as a training checkpoint, atomically; `data` (JSON-ready) says where in the data it is."""
    slots = get_slots(state.model, state.optimizer, state.recipe)
    if state.average is not None:
        for parameter, _ in trainable_leaves(state.model):
            value = state.average[parameter.name]
            slots[f"average.{parameter.name}"] = get_leaf(value)
    tensors, source = get_tensors(state.model), {"backend": "torch"}
    training = TrainingCheckpoint(state.model.config, state.recipe, state.step, tensors, slots, data or {}, source)
    write_training(training, path)


def load_state(path: str | os.PathLike[str], dtype: str = "float32") -> tuple[TrainState, dict[str, Any]]:
    """The run in a training checkpoint, whichever framework wrote it, and where in the data it is.

    Raises CheckpointError where the file is damaged, or holds a network alone.
    """
    training = read_training(path)
    state = create_state(from_checkpoint(Checkpoint(training.config, training.tensors), dtype), training.recipe)
    state.optimizer = set_slots(state.model, state.optimizer, training.recipe, training.slots, training.step)
    if state.average is not None:
        for parameter, _ in trainable_leaves(state.model):
            set_leaf(state.average[parameter.name], training.slots[f"average.{parameter.name}"])
    state.step = training.step
    return state, dict(training.data)
