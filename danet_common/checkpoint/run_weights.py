"""A training run's folder stands for the file of its weights."""

from __future__ import annotations

import os
from pathlib import Path

from danet_common.checkpoint import CheckpointError

PLAN, LAST, BEST = "run.json", "last.safetensors", "best.safetensors"


def is_run(path: str | os.PathLike[str]) -> bool:
    """True if the path is a training run's folder."""
    return any(os.path.lexists(Path(path) / name) for name in (PLAN, LAST, BEST))


def weights_of_run(folder: str | os.PathLike[str]) -> Path:
    """Return the file of the best validation, or else of the last checkpoint. Raises CheckpointError without either."""
    places = [Path(folder) / name for name in (BEST, LAST)]
    weights = next((place for place in places if os.path.lexists(place)), None)
    if weights is None:
        raise CheckpointError(f"{folder}: a run's folder without {BEST} and {LAST}, so without weights")
    return weights


def with_run(path: str | os.PathLike[str]) -> Path:
    """Return the path, or for a run's folder the file of its weights. Raises CheckpointError."""
    return weights_of_run(path) if is_run(path) else Path(path)
