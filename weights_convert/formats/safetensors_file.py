"""safetensors files: the canonical ones, and any other that holds a state dict under foreign names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from danet_common import Checkpoint, CheckpointError, write_checkpoint
from danet_common.atomic import Judge, always, atomic_file
from danet_common.checkpoint import PASSENGER
from danet_common.safetensors_header import HEADER_LIMIT, read_header
from danet_common.safetensors_writer import write_safetensors
from weights_convert.archive import map_file
from weights_convert.contents import Contents
from weights_convert.schemas.schema import Wrap

NAME = "safetensors"
DIRECTORY = False
WRAPS = False


def recognises(path: Path, start: bytes, records: list[str]) -> bool:
    """Whether the file opens with the length of a JSON header, and the header."""
    length = int.from_bytes(start[:8], "little")
    return len(start) > 8 and start[8:9] == b"{" and 1 < length <= HEADER_LIMIT


def read(path: Path) -> Contents:
    """Every tensor, as a view of the file. Raises CheckpointError where the file is damaged."""
    try:
        metadata, entries = read_header(path)
        raw = map_file(path)
        stored = {
            name: raw[entry.start : entry.start + entry.size].view(entry.dtype).reshape(entry.shape)
            for name, entry in entries.items()
        }
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path}: a safetensors file that is cut short or damaged ({error})") from None
    if "danet" not in metadata:
        return Contents(tensors=stored)
    return Contents(
        tensors={name: array for name, array in stored.items() if not name.startswith(PASSENGER)},
        passengers={
            name.removeprefix(PASSENGER): array for name, array in stored.items() if name.startswith(PASSENGER)
        },
        manifest=metadata["danet"],
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
