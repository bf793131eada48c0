"""Read the weights of a `.pt2` archive, a program of torch.export. The program itself is not run.

Source: torch/export/pt2_archive and torch/_export/serde/schema.py, torch 2.9 to 2.13.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from danet_common import CheckpointError
from danet_common.files.strict_json import parse_json
from weights_convert.containers.pickled_tensors import STORAGE_DTYPES, PickledTensor, Storage
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.zip_archive import Archive
from weights_convert.contents import Contents

NAME = "torch program"
CONFIG = "model_weights_config.json"
OLDER = "serialized_exported_program.json"  # record of torch before 2.9
KINDS = ("", "Byte", "Char", "Short", "Int", "Long", "Half", "Float", "Double", "", "", "", "Bool", "BFloat16")


def recognises(source: SourceFile) -> bool:
    """True for a zip archive with the weights of a program."""
    return any(name.endswith((CONFIG, OLDER)) for name in source.records)


def read(source: SourceFile) -> Contents:
    """Read every tensor. Raise CheckpointError if the archive is damaged, or of torch before 2.9."""
    archive = Archive(source.file)
    place = next((name for name in archive.names if name.endswith(CONFIG)), None)
    if place is None:
        raise CheckpointError("is a program of torch.export before torch 2.9. Save model.state_dict() with torch.save")
    folder = place.removesuffix(CONFIG)
    try:
        entries = parse_json(archive.read(place).tobytes())["config"]
        return Contents(tensors={name: _tensor(archive, folder, entry) for name, entry in entries.items()})
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CheckpointError(f"record {place} is damaged: {error}") from None


def _tensor(archive: Archive, folder: str, entry: dict[str, Any]) -> np.ndarray:
    meta, data = entry["tensor_meta"], archive.read(folder + entry["path_name"])
    dtype = STORAGE_DTYPES[f"{KINDS[meta['dtype']]}Storage"]
    shape, strides = (tuple(int(size["as_int"]) for size in meta[name]) for name in ("sizes", "strides"))
    storage = Storage(entry["path_name"], dtype, data.size // dtype.itemsize)
    return PickledTensor(storage, dtype, int(meta["storage_offset"]["as_int"]), shape, strides).resolve(
        lambda key: data, False
    )
