"""Read and write Orbax checkpoints: a directory with `state` (the Flax tree) and `manifest` (JSON).

The reader also takes the tree of a StandardCheckpointer or a PyTreeCheckpointer, the items of a Composite, and the
newest step of a CheckpointManager. Source: `_CHECKPOINT_METADATA` and the layout of items, Orbax 0.11 and 0.12.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from danet_common import Checkpoint, CheckpointError
from danet_common.checkpoint.canonical import manifest
from danet_common.checkpoint.unchanged import read_unchanged
from danet_common.extras import explain_missing, missing_packages
from danet_common.files.atomic import Judge, always, atomic_directory
from danet_common.files.regular_file import read_text
from danet_common.text import pluralise
from weights_convert.containers.orbax_layout import ForeignFileError, files_of, require_only_orbax
from weights_convert.containers.orbax_tree import TEXT_LIMIT, TREE, read_tree, write_tree
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats.flax_tree import from_leaves, to_leaves

NAME = "orbax"
STATE, MANIFEST = "state", "manifest"
TEXT = "metadata"  # file of a JSON item
ABOUT = "_CHECKPOINT_METADATA"
STEP = re.compile(r"(?:\w*[_-])?([0-9]{1,15})")  # folder of a step: 5, 000005, checkpoint_5
HANDLERS = {
    MANIFEST: "orbax.checkpoint._src.handlers.json_checkpoint_handler.JsonCheckpointHandler",
    STATE: "orbax.checkpoint._src.handlers.standard_checkpoint_handler.StandardCheckpointHandler",
}


def recognises(source: SourceFile) -> bool:
    """True for a directory with Orbax trees, or with steps that have them."""
    return source.is_folder and bool(_trees(source.path) or _steps(source.path))


def read(source: SourceFile) -> Contents:
    """Read every tensor, of the newest step. Raise CheckpointError if the directory is damaged."""
    path, notes = source.path, tuple[str, ...]()
    _require_tensorstore(path)
    steps = _steps(path)
    if steps and not (path / ABOUT).is_file():
        path = steps[max(steps)]
        notes = (f"took {path.name}, the newest of {pluralise(len(steps), 'step')}",) if len(steps) > 1 else ()
    marks = [path, *(tree / TREE for tree in _trees(path).values()), path / MANIFEST / TEXT]
    contents = read_unchanged(marks, lambda: _read(path))
    contents.notes = (*notes, *contents.notes)
    return contents


def _read(path: Path) -> Contents:
    try:
        list(files_of(path))
    except ForeignFileError as error:
        raise CheckpointError(f"not read: {error}") from None
    except FileNotFoundError:
        raise CheckpointError("a file was removed during the read") from None
    trees = _trees(path)
    if not trees:
        raise CheckpointError("the tree was removed during the read")
    try:
        items = {(item,) if len(trees) > 1 else (): read_tree(tree) for item, tree in trees.items()}
        contents = from_leaves({item + leaf: array for item, tree in items.items() for leaf, array in tree.items()})
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
    missing = missing_packages(["tensorstore"])
    if missing:
        raise CheckpointError(explain_missing(f"{path}: Orbax", missing))


def _trees(path: Path) -> dict[str, Path]:
    """Return the folders with a tree by item; an item that is the directory itself has no name."""
    if (path / TREE).is_file():
        return {"": path}
    return {folder.name: folder for folder in sorted(path.iterdir()) if (folder / TREE).is_file()}


def _steps(path: Path) -> dict[int, Path]:
    """Return the folders of a CheckpointManager's steps."""
    named = [(STEP.fullmatch(folder.name), folder) for folder in path.iterdir() if folder.is_dir()]
    return {int(match[1]): folder for match, folder in named if match is not None and _trees(folder)}
