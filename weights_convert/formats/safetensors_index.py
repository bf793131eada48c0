"""Sets of safetensors files with an index, as the Hugging Face hub lays them out."""

from __future__ import annotations

from pathlib import Path

from danet_common import Checkpoint, CheckpointError, write_shards
from danet_common.atomic import Judge, always
from danet_common.checkpoint import PASSENGER
from danet_common.shards import INDEX_LIMIT
from danet_common.stored import open_stored
from weights_convert.contents import Contents
from weights_convert.formats import safetensors_file

NAME = "safetensors index"
DIRECTORY = False
KERAS_ENDING = b'.weights.h5"'  # of the files that an index of Keras's names


def recognises(path: Path, start: bytes, records: list[str]) -> bool:
    """Whether the file is JSON that says which tensor is in which file."""
    if not start.lstrip().startswith(b"{") or b"\0" in start or path.stat().st_size > INDEX_LIMIT:
        return False
    return b'"weight_map"' in path.read_bytes()


def read(path: Path) -> Contents:
    """Every tensor of the set, as a view of its file. Raises CheckpointError where anything is damaged or missing."""
    if KERAS_ENDING in path.read_bytes():
        raise CheckpointError(
            f"{path}: Keras's index of weights in several files, which are not read; save them in one, "
            "without max_shard_size"
        )
    files, text = open_stored(path)
    views = {file: safetensors_file.read(file).tensors for file in set(files.values())}
    stored = {key: views[file][key] for key, file in files.items()}
    if text is None:
        return Contents(tensors=stored)
    return Contents(
        tensors={key: array for key, array in stored.items() if not key.startswith(PASSENGER)},
        passengers={key.removeprefix(PASSENGER): array for key, array in stored.items() if key.startswith(PASSENGER)},
        manifest=text,
    )


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the canonical set, in files of the hub's usual size."""
    write_shards(checkpoint, path, replace=replace)
    return ()
