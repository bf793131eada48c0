"""A canonical checkpoint as several `.safetensors` files and an index, `<stem>.safetensors.index.json`.

The layout is the Hugging Face hub's: {"metadata": {"total_size": ..., "danet": manifest}, "weight_map":
{tensor: file}}, the files beside the index and named `<stem>-00001-of-00003.safetensors`. A set is read by its
index, so replacing the index replaces the complete set at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from danet_common.checkpoint.canonical import CheckpointError
from danet_common.checkpoint.safetensors_header import HEADER_LIMIT
from danet_common.files.regular_file import Limit, RegularFile
from danet_common.files.strict_json import parse_json

INDEX_ENDING = ".safetensors.index.json"
INDEX_LIMIT = Limit(HEADER_LIMIT, "an index")  # a safetensors header says the same and more
MAXIMUM_SHARDS = 256  # files of a set, which are open together; 1024 is the usual limit of a process
SHARD = re.compile(r"[\w][\w.-]*\.safetensors", re.ASCII)  # a plain name: no file outside the index's folder


class Index(NamedTuple):
    """The metadata of an index, and the file of each tensor."""

    metadata: Mapping[str, Any]
    files: Mapping[str, Path]


def is_index(file: RegularFile) -> bool:
    """True for JSON; a `.safetensors` file opens with a small number in 8 bytes."""
    start = file.read_at(0, min(64, file.size)).tobytes()
    return start.lstrip().startswith(b"{") and b"\0" not in start


def parse_index(path: Path, file: RegularFile) -> Index:
    """Read an open index. Raises CheckpointError where it is damaged, names a file elsewhere or a missing file."""
    try:
        if file.size > INDEX_LIMIT.size:
            raise CheckpointError(f"{path}: is larger than {INDEX_LIMIT.size // 1_000_000} MB, the limit for an index")
        content = parse_json(file.read_at(0, file.size).tobytes())
        metadata, weight_map = content.get("metadata") or {}, dict(content["weight_map"])
        elsewhere = [f"{key!r}: {name!r}" for key, name in weight_map.items() if not SHARD.fullmatch(name)]
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: an index that is cut short or damaged ({error})") from None
    if not isinstance(metadata, dict) or not weight_map:
        raise CheckpointError(f"{path}: an index without tensors, or with damaged metadata")
    if elsewhere:
        raise CheckpointError(f"{path}: the index names files that are no `.safetensors` beside it: {elsewhere[0]}")
    names = sorted(set(weight_map.values()))
    if len(names) > MAXIMUM_SHARDS:
        raise CheckpointError(f"{path}: a set of {len(names)} files; the limit is {MAXIMUM_SHARDS}")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"{path}: files of the set are missing: {', '.join(missing)}")
    return Index(metadata, {key: path.parent / name for key, name in weight_map.items()})
