"""A training run's folder where a checkpoint is asked for: which of its files is taken."""

from __future__ import annotations

import os
from pathlib import Path

from danet_common.checkpoint import CheckpointError

PLAN, LAST, BEST = "run.json", "last.safetensors", "best.safetensors"


def is_run(path: str | os.PathLike[str]) -> bool:
    """True if the path is a folder that holds what a training run leaves."""
    return any(os.path.lexists(Path(path) / name) for name in (PLAN, LAST, BEST))


def weights_of_run(folder: str | os.PathLike[str]) -> Path:
    """Return the file of a run's weights: those of the best validation, or the last ones where there was none.

    Raises CheckpointError where the folder has neither.
    """
    places = [Path(folder) / name for name in (BEST, LAST)]
    weights = next((place for place in places if os.path.lexists(place)), None)
    if weights is None:
        raise CheckpointError(f"{folder}: a run's folder without {BEST} and {LAST}, so without weights")
    return weights


def with_run(path: str | os.PathLike[str]) -> Path:
    """Return the path as it is, or the file of the weights where it is a run's folder. Raises CheckpointError."""
    return weights_of_run(path) if is_run(path) else Path(path)
