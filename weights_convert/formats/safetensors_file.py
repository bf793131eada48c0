"""Read and write safetensors files, with canonical or upstream names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from danet_common import Checkpoint, CheckpointError, write_checkpoint
from danet_common.checkpoint.lazy import Stored, stored_in
from danet_common.checkpoint.safetensors_header import HEADER_LIMIT
from danet_common.checkpoint.safetensors_writer import write_safetensors
from danet_common.files.atomic import Judge, always, atomic_file
from danet_common.files.regular_file import WEIGHTS
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents, Unread, canonical_contents
from weights_convert.formats.flax_tree import from_flat

NAME = "safetensors"


def recognises(source: SourceFile) -> bool:
    """True if the file starts with the length of a JSON header, and the header."""
    length = int.from_bytes(source.start[:8], "little")
    return len(source.start) > 8 and source.start[8:9] == b"{" and 1 < length <= HEADER_LIMIT


def read(source: SourceFile) -> Contents:
    """Read every tensor. Raise CheckpointError if the file is damaged."""
    return contents_of(stored_in(source.path, source.file))


def contents_of(stored: Stored) -> Contents:
    """Return the tensors of open files; those of another program are read on access.

    Raise CheckpointError if they are larger than any network here.
    """
    entries = {name: file.entries[name] for name, file in stored.files.items()}
    size = sum(entry.size for entry in entries.values())
    if size > WEIGHTS.size:
        raise CheckpointError(f"holds {size / 1e9:.0f} GB of tensors, more than any network here")
    if stored.manifest is None:
        return from_flat(Unread(entries, lambda name: stored.files[name].read(name)))
    return canonical_contents({name: file.read(name) for name, file in stored.files.items()}, stored.manifest)


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the canonical file."""
    write_checkpoint(checkpoint, path, replace)
    return ()


def write_foreign(content: Mapping[str, np.ndarray], path: Path, replace: Judge = always) -> None:
    """Write tensors under upstream names, without manifest or trainer's object."""
    try:
        with atomic_file(path, replace) as temporary:
            write_safetensors(content, temporary, {"format": "pt"})
    except ValueError as error:
        raise CheckpointError(str(error)) from None
