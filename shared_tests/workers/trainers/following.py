"""A run of some steps, the same in every framework up to its functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from danet_common.training.training_checkpoint import TrainingCheckpoint, read_training, write_training
from shared_tests.workers.protocol import Groups


def follow(
    restore: Callable[..., Any],
    train_step: Callable[..., Any],
    capture: Callable[..., TrainingCheckpoint],
    fields: dict[str, Any],
    arrays: Groups,
) -> Groups:
    """Go on from the run in the file `start` for so many `steps` in `dtype`; losses by name, one for each step.

    A step's batch are the next rows of `image` and `labels`, over and over. Every step's run goes into `folder`,
    unless that is ""; or every so many steps', where `every` says so.
    """
    training = read_training(fields["start"])
    state = restore(training, dtype=fields["dtype"])
    losses: dict[str, list[float]] = {}
    for _ in range(fields["steps"]):
        count = state.recipe.batch_size
        rows = (np.arange(count) + state.step * count) % len(arrays["batch"]["labels"])
        batch = {name: array[rows] for name, array in arrays["batch"].items()}
        for name, value in train_step(state, batch).items():
            losses.setdefault(name, []).append(float(value))
        if fields["folder"] and state.step % fields.get("every", 1) == 0:
            write_training(capture(state, training.data), Path(fields["folder"]) / f"{state.step}.safetensors")
    return {"losses": {name: np.array(values) for name, values in losses.items()}}
