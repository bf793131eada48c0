"""A training checkpoint: everything that a run needs to resume, in one file for all frameworks.

It is a canonical checkpoint, so it loads as a network. The optimizer's tensors and the EMA are extra tensors
(`momentum.NAME`, or `adam.mean.NAME` and `adam.square.NAME`; `average.NAME`). The manifest's source has `training`:
recipe, step and position in the data. Seed and step are the complete random state: they key all random numbers.
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
from danet_common.config.typed_json import from_json, require, shown
from danet_common.numerics.precision import accumulate_dtype

BACKENDS = ("torch", "tf", "jax")
COUNTER = ".num_batches_tracked"
EMA_PREFIX = "average."  # of the slots that are the EMA of the weights


@dataclass
class TrainingCheckpoint:
    """A run after `step` steps.

    tensors  the network's, by canonical name
    slots    `momentum.NAME`, ... -> array in canonical layout, as `slot_shapes` lists them
    data     JSON-ready: the position in the data
    source   the rest of the manifest's source, for people
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
    """`training` in the manifest's source. Raises ValueError, naming the field; `data` is the loop's."""

    recipe: TrainConfig
    step: int
    data: dict[str, Any]

    def __post_init__(self) -> None:
        steps = self.recipe.steps
        require(0 <= self.step <= steps, "step", f"from 0 to recipe.steps, {steps}", self.step)


def slot_names(recipe: TrainConfig) -> tuple[str, ...]:
    """Return the names of the optimizer's tensors for each weight."""
    return {"sgd": ("momentum",), "adamw": ("adam.mean", "adam.square")}[recipe.optimizer]


def slot_shapes(config: DANetConfig, recipe: TrainConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors that a run has beside its network's."""
    prefixes = [f"{slot}." for slot in slot_names(recipe)] + [EMA_PREFIX] * (recipe.ema_decay is not None)
    trainable = [parameter for parameter in parameters(config).values() if parameter.trainable]
    return {f"{prefix}{parameter.name}": parameter.shape for prefix in prefixes for parameter in trainable}


def initial_state(config: DANetConfig, recipe: TrainConfig, tensors: Mapping[str, np.ndarray]) -> TrainingCheckpoint:
    """Return a run before its first step, from a network's tensors; all are in float32 or float64."""
    tensors = {
        name: array if array.dtype.kind == "i" else array.astype(accumulate_dtype(array.dtype.name))
        for name, array in tensors.items()
    }
    slots = {
        name: tensors[name.removeprefix(EMA_PREFIX)] if name.startswith(EMA_PREFIX) else np.zeros(shape, np.float32)
        for name, shape in slot_shapes(config, recipe).items()
    }
    return TrainingCheckpoint(config, recipe, 0, tensors, slots)


def write_training(training: TrainingCheckpoint, path: str | os.PathLike[str]) -> None:
    """Write a run as a canonical `.safetensors` file, atomically. Raises CheckpointError if the tensors do not fit."""
    _check_slots(training, path)
    progress = {"recipe": training.recipe.to_dict(), "step": training.step, "data": dict(training.data)}
    source = {**training.source, "training": progress}
    write_checkpoint(Checkpoint(training.config, training.tensors, training.slots, source), path)


def open_training(path: str | os.PathLike[str]) -> TrainingCheckpoint:
    """Open a training checkpoint, or a run's folder; its tensors are read when they are asked for.

    Raises CheckpointError, naming the field, where the file is damaged, or holds only a network.
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
        backend = source.get("backend", BACKENDS[0])
        if backend not in BACKENDS:
            raise ValueError(f"backend must be {' or '.join(BACKENDS)}; got {shown(backend)}")
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None
    training = TrainingCheckpoint(
        stored.config, progress.recipe, progress.step, stored.tensors, stored.extra_tensors, progress.data, source
    )
    _check_slots(training, path)
    _check_dtypes(stored.tensors, path)
    _check_dtypes(stored.extra_tensors, path)
    return training


def read_training(path: str | os.PathLike[str]) -> TrainingCheckpoint:
    """Read a training checkpoint. Raises CheckpointError as `open_training` does."""
    return in_memory(open_training(path))


def in_memory(training: TrainingCheckpoint) -> TrainingCheckpoint:
    """Return an opened checkpoint with its tensors in memory. Raises CheckpointError where a tensor is damaged."""
    assert isinstance(training.tensors, LazyTensors)
    assert isinstance(training.slots, LazyTensors)
    return dataclasses.replace(training, tensors=training.tensors.read(), slots=training.slots.read())


def _check_dtypes(tensors: LazyTensors, path: str | os.PathLike[str]) -> None:
    """Raise CheckpointError unless all tensors are float32, float64 or a counter."""
    for name in tensors:
        dtype = tensors.dtype(name).name
        if dtype not in ("float32", "float64") and not (dtype == "int64" and name.endswith(COUNTER)):
            raise CheckpointError(f"{path}: {tensors.prefix}{name} is {dtype}; a run has float32 or float64")


def _check_slots(training: TrainingCheckpoint, path: str | os.PathLike[str]) -> None:
    """Raise CheckpointError, in one line, unless the slots are exactly those of this recipe."""
    expected = slot_shapes(training.config, training.recipe)
    slots = training.slots
    actual = {name: slots.shape(name) if isinstance(slots, LazyTensors) else slots[name].shape for name in slots}
    errors = [
        f"{name}: {actual.get(name, 'missing')}, expected {expected.get(name, 'none')}"
        for name in dict.fromkeys([*expected, *actual])
        if actual.get(name) != expected.get(name)
    ]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise CheckpointError(f"{path}: the optimizer's tensors do not fit training.recipe: {errors[0]}{more}")


def ema_weights(training: TrainingCheckpoint) -> dict[str, np.ndarray]:
    """Return the network's tensors, with the EMA in the weights' places where there is one."""
    return {name: training.slots.get(EMA_PREFIX + name, array) for name, array in training.tensors.items()}
