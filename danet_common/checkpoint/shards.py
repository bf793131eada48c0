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
from danet_common.checkpoint.safetensors_header import HEADER_LIMIT
from danet_common.files.regular_file import Limit, RegularFile, open_regular
from danet_common.files.strict_json import parse_json

INDEX_ENDING = ".safetensors.index.json"
INDEX_LIMIT = Limit(HEADER_LIMIT, "an index")  # a safetensors header says the same and more
MAXIMUM_SHARDS = 256  # files of a set, which are open together; 1024 is the usual limit of a process
MAX_SHARD_BYTES = 5_000_000_000  # the hub's own default
SHARD = re.compile(r"[\w][\w.-]*\.safetensors", re.ASCII)  # a plain name: nothing outside the index's folder


class Index(NamedTuple):
    """What an index says: its metadata, and the file of every tensor."""

    metadata: Mapping[str, Any]
    files: Mapping[str, Path]


def is_index(file: RegularFile) -> bool:
    """True for JSON; a `.safetensors` file opens with a small number in eight bytes."""
    start = file.read_at(0, min(64, file.size)).tobytes()
    return start.lstrip().startswith(b"{") and b"\0" not in start


def read_index(path: str | os.PathLike[str]) -> Index:
    """Read an index. Raises CheckpointError where it is damaged, names a file elsewhere or one that is not there."""
    try:
        with open_regular(path, INDEX_LIMIT) as file:
            return parse_index(Path(path), file)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_index(path: Path, file: RegularFile) -> Index:
    """Read an index that is open. Raises CheckpointError as `read_index` does."""
    try:
        if file.size > INDEX_LIMIT.size:
            raise CheckpointError(f"{path}: is larger than {INDEX_LIMIT.size // 1_000_000} MB, the limit for an index")
        content = parse_json(file.read_at(0, file.size).tobytes())
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
    shards = sorted({file.name for file in files.values()})
    if len(shards) > MAXIMUM_SHARDS:
        raise CheckpointError(f"{path}: a set of {len(shards)} files; {MAXIMUM_SHARDS} are the most that are read")
    missing = [name for name in shards if not (path.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"{path}: files of the set are missing: {', '.join(missing)}")
    return Index(metadata, files)
