"""A canonical checkpoint as several `.safetensors` files and an index, `<stem>.safetensors.index.json`.

The layout is the Hugging Face hub's: {"metadata": {"total_size": ..., "danet": manifest}, "weight_map":
{tensor: file}}, the files beside the index and named `<stem>-00001-of-00003.safetensors`. Whoever reads a
set goes by its index, so replacing the index replaces the whole set at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from danet_common.checkpoint import CheckpointError
from danet_common.strict_json import parse_json

INDEX_ENDING = ".safetensors.index.json"
INDEX_LIMIT = 100_000_000  # bytes; that of a safetensors header, which says the same and more
MAX_SHARD_BYTES = 5_000_000_000  # the hub's own default
SHARD = re.compile(r"[\w][\w.-]*\.safetensors", re.ASCII)  # a plain name: nothing outside the index's folder


class Index(NamedTuple):
    """What an index says: its metadata, and the file of every tensor."""

    metadata: Mapping[str, Any]
    files: Mapping[str, Path]


def is_index(path: Path) -> bool:
    """Whether a file is JSON and no `.safetensors`, which opens with a small number in eight bytes."""
    with path.open("rb") as file:
        start = file.read(64)
    return start.lstrip().startswith(b"{") and b"\0" not in start


def read_index(path: str | os.PathLike[str]) -> Index:
    """Read an index. Raises CheckpointError where it is damaged, names a file elsewhere or one that is not there."""
    path = Path(path)
    try:
        if path.stat().st_size > INDEX_LIMIT:
            raise CheckpointError(f"{path}: an index of more than {INDEX_LIMIT} bytes; it is damaged")
        content = parse_json(path.read_bytes())
        metadata, weight_map = content.get("metadata") or {}, content["weight_map"]
        names = dict(weight_map)
        faults = [f"{key!r}: {name!r}" for key, name in names.items() if not SHARD.fullmatch(name)]
        if not isinstance(metadata, dict) or not names:
            raise CheckpointError(f"{path}: an index without tensors, or with damaged metadata")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: an index that is cut short or damaged ({error})") from None
    if faults:
        raise CheckpointError(f"{path}: the index names files that are no `.safetensors` beside it: {faults[0]}")
    files = {key: path.parent / name for key, name in names.items()}
    missing = sorted({file.name for file in files.values() if not file.is_file()})
    if missing:
        raise CheckpointError(f"{path}: files of the set are missing: {', '.join(missing)}")
    return Index(metadata, files)
