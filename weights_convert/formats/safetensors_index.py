"""Read and write sharded safetensors: several files and an index, as on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from danet_common import Checkpoint, CheckpointError, write_shards
from danet_common.checkpoint.lazy import Stored, open_stored, stored_in
from danet_common.checkpoint.shards import INDEX_LIMIT, is_index
from danet_common.checkpoint.unchanged import is_unchanged
from danet_common.files.atomic import Judge, always
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats import safetensors_file

NAME = "safetensors index"
KERAS_ENDING = b'.weights.h5"'  # ending of the files in a Keras index


def recognises(source: SourceFile) -> bool:
    """True for a JSON file that maps tensors to files."""
    return b'"weight_map"' in _text(source)


def _text(source: SourceFile) -> bytes:
    """Return the text of a JSON file of an index's size; b"" for any other file."""
    if source.is_folder or not is_index(source.file) or source.file.size > INDEX_LIMIT.size:
        return b""
    return source.data[:].tobytes()


def read(source: SourceFile) -> Contents:
    """Read every tensor of the set. Raise CheckpointError if a file is damaged or missing."""
    return safetensors_file.contents_of(open_set(source))


def open_set(source: SourceFile) -> Stored:
    """Open all files of the set. If another process replaces the set, open all files of the new one."""
    path = source.path
    if KERAS_ENDING in _text(source):
        raise CheckpointError(
            f"{path}: is an index of Keras for several files, which cannot be read. Save one file, "
            "without max_shard_size"
        )
    try:
        return stored_in(path, source.file)
    except CheckpointError:
        if is_unchanged(path, source.file):
            raise
        return open_stored(path)


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the canonical set in files of the hub's usual size."""
    write_shards(checkpoint, path, replace=replace)
    return ()
