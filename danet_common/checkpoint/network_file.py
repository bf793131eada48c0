"""Files of live networks: `load` and `save` of the three packages read and write them here.

For formats other than `.safetensors` files and sets, these two functions call up to `weights_convert`, which the
packages below import nowhere else.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

from danet_common.checkpoint import Checkpoint, CheckpointError, write_checkpoint
from danet_common.checkpoint.canonical import EXTRA_TENSOR
from danet_common.checkpoint.lazy import checkpoint_in, open_stored
from danet_common.checkpoint.run_weights import with_run
from danet_common.checkpoint.shards import INDEX_ENDING

ENDING = ".safetensors"


def open_network(
    path: str | os.PathLike[str], report: Callable[[str], None] | None = None, weights_key: str | None = None
) -> Checkpoint:
    """Open the checkpoint of a network: a file or folder of any format and layout that `weights_convert` reads.

    A training run's folder stands for its best validation, or else its last checkpoint. `weights_key` chooses one of
    several sets of weights in a file, by default the trained weights.

    `report` gets a line about each assumption and each tensor that was filled or left out. Without it the lines are a
    UserWarning. Raises CheckpointError for a damaged file, for several sets of weights without a choice, and for a
    backbone without a head.
    """
    path = with_run(path)
    if weights_key is None and path.name.endswith((ENDING, INDEX_ENDING)) and path.is_file():
        try:
            stored = open_stored(path)
        except CheckpointError:  # perhaps of another format
            stored = None
        if stored and stored.manifest is not None and not any(key.startswith(EXTRA_TENSOR) for key in stored.files):
            return checkpoint_in(path, stored)
    from weights_convert.live.source import open_any

    lines: list[str] = []
    checkpoint = open_any(path, weights_key, report or lines.append)
    if checkpoint.source.get("backbone_only"):
        raise CheckpointError(
            f"{path}: a backbone without a head, whose logits would be random. "
            "To train one, call from_checkpoint(weights_convert.read(path))."
        )
    if lines:
        warnings.warn("\n  ".join([f"{path} was read with these assumptions:", *lines]), stacklevel=3)
    return checkpoint


def write_network(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write the checkpoint of a network, atomically, in the format of the path's ending.

    Raises CheckpointError for an ending of no format, or of a format for other layouts.
    """
    if Path(path).name.endswith(ENDING):
        write_checkpoint(checkpoint, path)
    else:
        from weights_convert import write

        write(checkpoint, path)
