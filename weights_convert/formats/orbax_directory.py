"""Read and write Orbax checkpoints: a directory with `state` (the Flax tree) and `manifest` (JSON).

The reader also takes the same tree from a StandardCheckpointer, a PyTreeCheckpointer, or a step of a
CheckpointManager. Source: `_CHECKPOINT_METADATA` and the layout of items, Orbax 0.11 and 0.12.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from danet_common import Checkpoint, CheckpointError
from danet_common.checkpoint.canonical import manifest
from danet_common.checkpoint.unchanged import read_unchanged
from danet_common.files.atomic import Judge, always, atomic_directory
from danet_common.files.regular_file import read_text
from weights_convert.containers.orbax_layout import ForeignFileError, files_of, require_only_orbax
from weights_convert.containers.orbax_tree import TEXT_LIMIT, TREE, read_tree, write_tree
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats.flax_tree import from_leaves, to_leaves

NAME = "orbax"
STATE, MANIFEST = "state", "manifest"
ITEMS = (STATE, "default", "")  # item with the tree: ours, a CheckpointManager's, the directory itself
TEXT = "metadata"  # file of a JSON item
ABOUT = "_CHECKPOINT_METADATA"
HANDLERS = {
    MANIFEST: "orbax.checkpoint._src.handlers.json_checkpoint_handler.JsonCheckpointHandler",
    STATE: "orbax.checkpoint._src.handlers.standard_checkpoint_handler.StandardCheckpointHandler",
}


def recognises(source: SourceFile) -> bool:
    """True for a directory with an Orbax tree."""
    return source.is_folder and _state(source.path) is not None


def read(source: SourceFile) -> Contents:
    """Read every tensor. Raise CheckpointError if the directory is damaged."""
    path = source.path
    _require_tensorstore(path)
    return read_unchanged([path, *(path / item / TREE for item in ITEMS), path / MANIFEST / TEXT], lambda: _read(path))


def _read(path: Path) -> Contents:
    try:
        list(files_of(path))
    except ForeignFileError as error:
        raise CheckpointError(f"not read: {error}") from None
    except FileNotFoundError:
        raise CheckpointError("a file was removed during the read") from None
    state = _state(path)
    if state is None:
        raise CheckpointError("the tree was removed during the read")
    try:
        contents = from_leaves(read_tree(state))
        file = path / MANIFEST / TEXT
        contents.manifest = read_text(file, TEXT_LIMIT) if file.is_file() else None
    except CheckpointError:
        raise
    except (ValueError, OSError) as error:
        raise CheckpointError(f"Orbax checkpoint is incomplete or damaged: {error}") from None
    return contents


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the directory and replace another Orbax checkpoint atomically. Extra tensors are dropped."""
    _require_tensorstore(path)
    network = Checkpoint(checkpoint.config, checkpoint.tensors, source=checkpoint.source)
    about = {"item_handlers": HANDLERS, "metrics": {}, "performance_metrics": {}, "custom_metadata": {}}

    def judge(target: Path) -> None:
        replace(target)
        require_only_orbax(target)

    with atomic_directory(path, judge) as temporary:
        write_tree(temporary / STATE, to_leaves(network.config, network.tensors))
        (temporary / MANIFEST).mkdir()
        (temporary / MANIFEST / TEXT).write_text(json.dumps(manifest(network)))
        (temporary / ABOUT).write_text(json.dumps(about))
    return tuple(f"dropped: extra tensor {key}; Orbax trees hold the network only" for key in checkpoint.extra_tensors)


def _require_tensorstore(path: Path) -> None:
    if importlib.util.find_spec("tensorstore") is None:
        raise CheckpointError(f"{path}: Orbax checkpoints need TensorStore. Install danet[jax]")


def _state(path: Path) -> Path | None:
    return next((path / item for item in ITEMS if (path / item / TREE).is_file()), None)
