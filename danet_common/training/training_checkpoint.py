"""A run in the middle: everything that going on needs, in one file for all frameworks.

It is a canonical checkpoint, so that whoever loads a network loads it, with two things more: the optimizer's
tensors as extra tensors (`momentum.NAME`, or `adam.mean.NAME` and `adam.square.NAME`; `average.NAME`), and `training`
in the manifest's source: recipe, step and the position in the data. The recipe's seed and the step are the whole
random state, because every draw is keyed by them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from danet_common.checkpoint import Checkpoint, CheckpointError, write_checkpoint
from danet_common.checkpoint.lazy import LazyTensors, StoredCheckpoint, open_checkpoint
from danet_common.checkpoint.run_weights import LAST, is_run
from danet_common.config import DANetConfig
from danet_common.config.parameters import parameters
from danet_common.config.recipe import TrainConfig
from danet_common.config.typed_json import from_json, shown
from danet_common.numerics.precision import accumulate_dtype

BACKENDS = ("torch", "tf", "jax")
COUNTER = ".num_batches_tracked"

AVERAGE = "average."  # prefix of the slots that are moving averages of the weights


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


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the manifest says of a run. Raises ValueError, naming the field, where it contradicts itself.

    data  where in the data the run is; who reads it knows its fields
    """

    recipe: TrainConfig
    step: int
    data: dict[str, Any]

    def __post_init__(self) -> None:
        if not 0 <= self.step <= self.recipe.steps:
            raise ValueError(f"step must be from 0 to recipe.steps, {self.recipe.steps}; got {self.step}")


def slot_names(recipe: TrainConfig) -> tuple[str, ...]:
    """What the optimizer remembers of each tensor."""
    return {"sgd": ("momentum",), "adamw": ("adam.mean", "adam.square")}[recipe.optimizer]


def slot_shapes(config: DANetConfig, recipe: TrainConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that a run has beside its network's."""
    slots = (*slot_names(recipe), *(() if recipe.ema_decay is None else (AVERAGE.rstrip("."),)))
    trainable = [parameter for parameter in parameters(config).values() if parameter.trainable]
    return {f"{slot}.{parameter.name}": parameter.shape for slot in slots for parameter in trainable}


def initial_state(config: DANetConfig, recipe: TrainConfig, tensors: Mapping[str, np.ndarray]) -> TrainingCheckpoint:
    """A run before its first step, from a network's tensors in at least float32: the same in every framework."""
    tensors = {name: _widened(array) for name, array in tensors.items()}
    slots = {
        name: tensors[name.removeprefix(AVERAGE)] if name.startswith(AVERAGE) else np.zeros(shape, np.float32)
        for name, shape in slot_shapes(config, recipe).items()
    }
    return TrainingCheckpoint(config, recipe, 0, tensors, slots)


def _widened(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind == "i" else array.astype(accumulate_dtype(array.dtype.name))


def write_training(training: TrainingCheckpoint, path: str | os.PathLike[str]) -> None:
    """Write a run as a canonical `.safetensors` file, atomically. Raises CheckpointError if the tensors do not fit."""
    _check_slots(training, path)
    progress = {"recipe": training.recipe.to_dict(), "step": training.step, "data": dict(training.data)}
    source = {**training.source, "training": progress}
    write_checkpoint(Checkpoint(training.config, training.tensors, training.slots, source), path)


def open_training(path: str | os.PathLike[str]) -> TrainingCheckpoint:
    """Open a run, from its last checkpoint or its folder; its tensors are read when they are asked for.

    Raises CheckpointError, naming the field, where the file is damaged, or holds a network alone.
    """
    path = Path(path) / LAST if is_run(path) else path
    return training_of(open_checkpoint(path), path)


def training_of(stored: StoredCheckpoint, path: str | os.PathLike[str]) -> TrainingCheckpoint:
    """Return the run in an opened checkpoint; `path` begins an error. Raises CheckpointError as `open_training`."""
    source = dict(stored.source)
    if "training" not in source:
        raise CheckpointError(f"{path}: a network without the state of a training run; start a new run from it")
    try:
        progress = from_json(Progress, source.pop("training"), "training")
        _check_source(source)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    recipe, step, data = progress.recipe, progress.step, progress.data
    training = TrainingCheckpoint(stored.config, recipe, step, stored.tensors, stored.extra_tensors, data, source)
    _check_slots(training, path)
    _check_dtypes(stored.tensors, path)
    _check_dtypes(stored.extra_tensors, path)
    return training


def read_training(path: str | os.PathLike[str]) -> TrainingCheckpoint:
    """Read a run. Raises CheckpointError, naming the field, where the file is damaged, or holds a network alone."""
    return in_memory(open_training(path))


def in_memory(training: TrainingCheckpoint) -> TrainingCheckpoint:
    """Return an opened run with its tensors read. Raises CheckpointError where one is damaged."""
    assert isinstance(training.tensors, LazyTensors)
    assert isinstance(training.slots, LazyTensors)
    return dataclasses.replace(training, tensors=training.tensors.read(), slots=training.slots.read())


def _check_source(source: Mapping[str, Any]) -> None:
    """Raise ValueError where the rest of the manifest's source is not what a run writes there."""
    backend = source.get("backend", BACKENDS[0])
    if backend not in BACKENDS:
        raise ValueError(f"backend must be {' or '.join(BACKENDS)}; got {shown(backend)}")


def _check_dtypes(tensors: LazyTensors, path: str | os.PathLike[str]) -> None:
    """Raise CheckpointError where a tensor is neither what a run learns in nor a counter."""
    for name in tensors:
        dtype = tensors.dtype(name).name
        if dtype not in ("float32", "float64") and not (dtype == "int64" and name.endswith(COUNTER)):
            raise CheckpointError(f"{path}: {tensors.prefix}{name} is {dtype}; a run has float32 or float64")


def _check_slots(training: TrainingCheckpoint, path: str | os.PathLike[str]) -> None:
    """Raise CheckpointError, in one line, unless the slots are exactly those of this recipe."""
    wanted = slot_shapes(training.config, training.recipe)
    slots = training.slots
    found = {name: slots.shape(name) if isinstance(slots, LazyTensors) else slots[name].shape for name in slots}
    faults = [
        f"{name}: {found.get(name, 'missing')}, expected {wanted.get(name, 'none')}"
        for name in dict.fromkeys([*wanted, *found])
        if found.get(name) != wanted.get(name)
    ]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise CheckpointError(f"{path}: the optimizer's tensors do not fit training.recipe: {faults[0]}{more}")


def averaged(training: TrainingCheckpoint) -> dict[str, np.ndarray]:
    """The network's tensors with the moving averages in the weights' places; as they are where there are none."""
    return {name: training.slots.get(AVERAGE + name, array) for name, array in training.tensors.items()}
