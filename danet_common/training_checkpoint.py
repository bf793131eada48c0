"""A run in the middle: everything that going on needs, in one file for all frameworks.

It is a canonical checkpoint, so that whoever loads a network loads it, with two things more: the optimizer's
tensors as passengers (`momentum.NAME`, or `adam.mean.NAME` and `adam.square.NAME`; `average.NAME`), and `training`
in the manifest's source: recipe, step and the position in the data. The recipe's seed and the step are the whole
random state, because every draw is keyed by them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from danet_common.checkpoint import Checkpoint, CheckpointError, write_checkpoint
from danet_common.config import DANetConfig
from danet_common.numerics import widened
from danet_common.parameters import parameters
from danet_common.recipe import TrainConfig
from danet_common.stored import read_checkpoint


@dataclass
class TrainingCheckpoint:
    """A run after `step` steps.

    tensors  canonical name -> array: the network's
    slots    `momentum.NAME`, ... -> array in canonical layout, as `slot_shapes` lists them
    data     JSON-ready: where in the data the run is
    source   what else the manifest says, for people
    """

    config: DANetConfig
    recipe: TrainConfig
    step: int
    tensors: Mapping[str, np.ndarray]
    slots: Mapping[str, np.ndarray]
    data: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)


def slot_names(recipe: TrainConfig) -> tuple[str, ...]:
    """What the optimizer remembers of each tensor."""
    return {"sgd": ("momentum",), "adamw": ("adam.mean", "adam.square")}[recipe.optimizer]


def slot_shapes(config: DANetConfig, recipe: TrainConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that a run has beside its network's."""
    slots = (*slot_names(recipe), *(() if recipe.average_decay is None else ("average",)))
    trainable = [parameter for parameter in parameters(config).values() if parameter.trainable]
    return {f"{slot}.{parameter.name}": parameter.shape for slot in slots for parameter in trainable}


def beginning(config: DANetConfig, recipe: TrainConfig, tensors: Mapping[str, np.ndarray]) -> TrainingCheckpoint:
    """A run before its first step, from a network's tensors in at least float32: the same in every framework."""
    tensors = {name: _widened(array) for name, array in tensors.items()}
    slots = {
        name: tensors[name.removeprefix("average.")] if name.startswith("average.") else np.zeros(shape, np.float32)
        for name, shape in slot_shapes(config, recipe).items()
    }
    return TrainingCheckpoint(config, recipe, 0, tensors, slots)


def _widened(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind == "i" else array.astype(widened(array.dtype.name))


def write_training(training: TrainingCheckpoint, path: str | os.PathLike[str]) -> None:
    """Write a run as a canonical `.safetensors` file, atomically. Raises CheckpointError if the tensors do not fit."""
    _check_slots(training, path)
    progress = {"recipe": training.recipe.to_dict(), "step": training.step, "data": dict(training.data)}
    source = {**training.source, "training": progress}
    write_checkpoint(Checkpoint(training.config, training.tensors, training.slots, source), path)


def read_training(path: str | os.PathLike[str]) -> TrainingCheckpoint:
    """Read a run. Raises CheckpointError where the file is damaged, or holds a network alone."""
    checkpoint = read_checkpoint(path)
    source = dict(checkpoint.source)
    if "training" not in source:
        raise CheckpointError(f"{path}: a network without the state of a training run; start a new run from it")
    try:
        progress = source.pop("training")
        recipe, step, data = TrainConfig.from_dict(progress["recipe"]), int(progress["step"]), dict(progress["data"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: the state of its training run is damaged: {error}") from None
    slots = checkpoint.passengers
    training = TrainingCheckpoint(checkpoint.config, recipe, step, checkpoint.tensors, slots, data, source)
    _check_slots(training, path)
    return training


def _check_slots(training: TrainingCheckpoint, path: str | os.PathLike[str]) -> None:
    """Raise CheckpointError, listing every fault, unless the slots are exactly those of this recipe."""
    wanted = slot_shapes(training.config, training.recipe)
    found = {name: array.shape for name, array in training.slots.items()}
    faults: Iterable[str] = [
        f"{name}: {found.get(name, 'missing')}, expected {wanted.get(name, 'none')}"
        for name in dict.fromkeys([*wanted, *found])
        if found.get(name) != wanted.get(name)
    ]
    if faults:
        raise CheckpointError(f"{path}: the optimizer's tensors do not fit the recipe:\n  " + "\n  ".join(faults))


def averaged(training: TrainingCheckpoint) -> dict[str, np.ndarray]:
    """The network's tensors with the moving averages in the weights' places; as they are where there are none."""
    return {name: training.slots.get(f"average.{name}", array) for name, array in training.tensors.items()}
