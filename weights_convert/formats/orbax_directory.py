"""Orbax checkpoints: a directory with the items `state`, the Flax tree, and `manifest`, JSON.

Also read: what a StandardCheckpointer, a PyTreeCheckpointer or a CheckpointManager's step leaves of the same
tree. Tensors are written and read as NumPy arrays, so that JAX, which holds 32 bits unless told otherwise,
casts none of them. Writing needs Orbax, and so JAX; reading needs TensorStore only, in which Orbax keeps its
arrays. Source: `_METADATA` and the layout of arrays, Orbax 0.11 and 0.12.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError
from danet_common.atomic import atomic_directory
from danet_common.checkpoint import manifest
from weights_convert.archive import bound
from weights_convert.contents import Contents
from weights_convert.flax_tree import from_leaves, to_tree

NAME = "orbax"
DIRECTORY = True
STATE, MANIFEST = "state", "manifest"
ITEMS = (STATE, "default", "")  # where the tree may be: ours, a CheckpointManager's, the directory itself
TREE = "_METADATA"  # Orbax's description of a tree
WANTED = "an Orbax directory needs Orbax and JAX; install danet[jax]"


def recognises(path: Path, start: bytes, records: list[str]) -> bool:
    """Whether this is a directory with a tree of Orbax's in it."""
    return path.is_dir() and _state(path) is not None


def read(path: Path) -> Contents:
    """Restore every tensor as a NumPy array. Raises CheckpointError where the directory is damaged."""
    state = _state(path)
    assert state is not None
    contents = from_leaves(_restore(path, state))
    file = path / MANIFEST / "metadata"  # where JsonSave keeps its text
    if file.is_file():
        contents.manifest = file.read_text("utf-8", "replace")
    return contents


def write(checkpoint: Checkpoint, path: Path) -> tuple[str, ...]:
    """Write the directory, replacing an existing one in one step. Passengers have no place in a tree."""
    try:
        from orbax import checkpoint as ocp
    except ImportError:
        raise CheckpointError(f"{path}: {WANTED}") from None
    network = Checkpoint(checkpoint.config, checkpoint.tensors, source=checkpoint.source)
    items = ocp.args.Composite(
        **{
            STATE: ocp.args.StandardSave(to_tree(network.config, network.tensors)),
            MANIFEST: ocp.args.JsonSave(manifest(network)),
        }
    )
    with atomic_directory(path) as temporary, ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        try:
            checkpointer.save(temporary.absolute(), args=items)
        except Exception as error:  # Orbax and TensorStore raise many kinds where the disk is full, ...
            raise OSError(str(error).partition("\n")[0][:200]) from None
    return tuple(f"dropped: passenger {key}; an Orbax tree holds the network only" for key in checkpoint.passengers)


def _state(path: Path) -> Path | None:
    return next((path / item for item in ITEMS if (path / item / TREE).is_file()), None)


def _restore(path: Path, state: Path) -> dict[tuple[str, ...], np.ndarray]:
    """Every array of a tree by its path. TensorStore reads them as they are, where Orbax would hand them to JAX."""
    try:
        import tensorstore
    except ImportError:
        raise CheckpointError(f"{path}: {WANTED}") from None
    try:
        description = json.loads((state / TREE).read_text("utf-8"))
        leaves = [
            tuple(str(part["key"]) for part in leaf["key_metadata"]) for leaf in description["tree_metadata"].values()
        ]
        opened = [tensorstore.open(_location(state, leaf, description), read=True) for leaf in leaves]
        arrays = [future.result() for future in opened]
        if sum(array.size * array.dtype.numpy_dtype.itemsize for array in arrays) > bound(_size(state)):
            raise ValueError("its arrays claim to be far larger than its files")
        read = [array.read() for array in arrays]
        return {leaf: future.result() for leaf, future in zip(leaves, read, strict=True)}
    except (ValueError, TypeError, LookupError, AttributeError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"{path}: an Orbax directory that is incomplete or damaged ({reason})") from None


def _location(state: Path, leaf: tuple[str, ...], description: Mapping[str, Any]) -> dict[str, Any]:
    """Where TensorStore finds one array, and that a missing piece of it is an error and not zeros."""
    name, files = ".".join(leaf), {"driver": "file", "path": f"{state.absolute()}/"}
    if description.get("use_ocdbt"):
        store = {"driver": "ocdbt", "base": files, "path": f"{name}/"}
    else:
        store = {"driver": "file", "path": f"{files['path']}{name}/"}
    return {
        "driver": "zarr3" if description.get("use_zarr3") else "zarr",
        "kvstore": store,
        "fill_missing_data_reads": not description.get("store_array_data_equal_to_fill_value", False),
    }


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
