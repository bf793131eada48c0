"""The file of a live network, of any format: what `load` and `save` of the three packages read and write.

A canonical `.safetensors` file, or a set of them with an index, is read and written here. For every other format
these two functions call up to `weights_convert`, which no package below it imports otherwise, and only then.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

from danet_common.checkpoint import EXTRA_TENSOR, Checkpoint, CheckpointError, write_checkpoint
from danet_common.checkpoint.lazy import checkpoint_in, open_stored
from danet_common.checkpoint.run_weights import with_run
from danet_common.checkpoint.shards import INDEX_ENDING

ENDING = ".safetensors"


def open_network(
    path: str | os.PathLike[str], report: Callable[[str], None] | None = None, weights_key: str | None = None
) -> Checkpoint:
    """Open the checkpoint of a network: a file or a folder of any format and layout that `weights_convert` reads.

    Of a training run's folder it is the file of the best validation, or else the last one. Of a file with several
    sets of weights `weights_key` says which to take; without it they are those that were trained.

    `report` is called with each line about what was assumed, filled or left out. Without it these lines are one
    UserWarning. Raises CheckpointError where the file cannot be read whole, where it has several sets of weights and
    nothing tells which to take, and for a backbone without a head.
    """
    path = with_run(path)
    if weights_key is None and path.name.endswith((ENDING, INDEX_ENDING)) and path.is_file():
        try:
            stored = open_stored(path)
        except CheckpointError:  # perhaps of another format, which its first bytes tell
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

    Raises CheckpointError for an ending of no format, or of one that holds other layouts only.
    """
    if Path(path).name.endswith(ENDING):
        write_checkpoint(checkpoint, path)
    else:
        from weights_convert import write

        write(checkpoint, path)
