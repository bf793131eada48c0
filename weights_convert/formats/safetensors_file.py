"""safetensors files: the canonical ones, and any other that holds a state dict under foreign names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from danet_common import Checkpoint, CheckpointError, write_checkpoint
from danet_common.atomic import Judge, always, atomic_file
from danet_common.checkpoint import PASSENGER
from danet_common.safetensors_header import HEADER_LIMIT
from danet_common.safetensors_writer import write_safetensors
from danet_common.stored import Stored, stored_in
from weights_convert.contents import Contents
from weights_convert.opened import Opened
from weights_convert.schemas.schema import Wrap

NAME = "safetensors"
DIRECTORY = False
WRAPS = False


def recognises(source: Opened) -> bool:
    """Whether the file opens with the length of a JSON header, and the header."""
    length = int.from_bytes(source.start[:8], "little")
    return len(source.start) > 8 and source.start[8:9] == b"{" and 1 < length <= HEADER_LIMIT


def read(source: Opened) -> Contents:
    """Every tensor, in memory. Raises CheckpointError where the file is damaged."""
    return contents_of(stored_in(source.path, source.file))


def contents_of(stored: Stored) -> Contents:
    """Every tensor of open files, in memory."""
    arrays = {name: file.read(name) for name, file in stored.files.items()}
    if stored.manifest is None:
        return Contents(tensors=arrays)
    return Contents(
        tensors={name: array for name, array in arrays.items() if not name.startswith(PASSENGER)},
        passengers={
            name.removeprefix(PASSENGER): array for name, array in arrays.items() if name.startswith(PASSENGER)
        },
        manifest=stored.manifest,
    )


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the canonical file."""
    write_checkpoint(checkpoint, path, replace)
    return ()


def write_foreign(named: Mapping[str, np.ndarray], path: Path, wrap: Wrap | None, replace: Judge = always) -> None:
    """Write tensors under an owner's names, without a manifest and without the owner's object around them."""
    try:
        with atomic_file(path, replace) as temporary:
            write_safetensors(named, temporary, {"format": "pt"})
    except ValueError as error:
        raise CheckpointError(str(error)) from None
