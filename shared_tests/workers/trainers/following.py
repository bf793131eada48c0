"""A run of some steps, the same in every framework up to its functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from shared_tests.workers.protocol import Groups


def follow(
    load_state: Callable[..., Any],
    train_step: Callable[..., Any],
    save_state: Callable[..., None],
    fields: dict[str, Any],
    arrays: Groups,
) -> Groups:
    """Go on from the run in the file `start` for so many `steps` in `dtype`; losses by name, one for each step.

    A step's batch are the next rows of `image` and `labels`, over and over. Every step's run goes into `folder`,
    unless that is ""; or every so many steps', where `every` says so.
    """
    state, data = load_state(fields["start"], dtype=fields["dtype"])
    losses: dict[str, list[float]] = {}
    for _ in range(fields["steps"]):
        count = state.recipe.batch_size
        rows = (np.arange(count) + state.step * count) % len(arrays["batch"]["labels"])
        batch = {name: array[rows] for name, array in arrays["batch"].items()}
        for name, value in train_step(state, batch).items():
            losses.setdefault(name, []).append(float(value))
        if fields["folder"] and state.step % fields.get("every", 1) == 0:
            save_state(state, Path(fields["folder"]) / f"{state.step}.safetensors", data)
    return {"losses": {name: np.array(values) for name, values in losses.items()}}
