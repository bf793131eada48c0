"""A canonical checkpoint as several `.safetensors` files and an index, `<stem>.safetensors.index.json`.

The layout is the Hugging Face hub's: {"metadata": {"total_size": ..., "danet": manifest}, "weight_map":
{tensor: file}}, the files beside the index and named `<stem>-00001-of-00003.safetensors`. Whoever reads a
set goes by its index, so replacing the index replaces the whole set at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from danet_common.atomic import atomic_file
from danet_common.checkpoint import Checkpoint, CheckpointError, manifest, on_disk
from danet_common.safetensors_writer import write_safetensors
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


def write_shards(checkpoint: Checkpoint, path: str | os.PathLike[str], max_shard_bytes: int = MAX_SHARD_BYTES) -> None:
    """Write a set of files, each of at most `max_shard_bytes` of tensors or of a single larger tensor.

    The index comes last and is what replaces an older set: until then the old files are as they were, and on
    any error the new ones are removed. Raises CheckpointError if the tensors do not fit, ValueError for a
    `path` without the ending or a size below 1.
    """
    path = Path(path)
    if not path.name.endswith(INDEX_ENDING) or path.name == INDEX_ENDING:
        raise ValueError(f"the name of an index ends in {INDEX_ENDING}; got {path.name}")
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes must be at least 1; got {max_shard_bytes}")
    checkpoint.check()
    tensors = on_disk(checkpoint)
    shards, text = split(tensors, max_shard_bytes), json.dumps(manifest(checkpoint))
    old = _files_of(path)
    names = _free_names(path, shards, text)
    weight_map = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
    metadata = {"total_size": sum(array.nbytes for array in tensors.values()), "danet": text}
    written: list[Path] = []
    try:
        for name, keys in zip(names, shards, strict=True):
            with atomic_file(path.parent / name) as temporary:
                write_safetensors({key: tensors[key] for key in keys}, temporary, {"format": "pt"})
            written.append(path.parent / name)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps({"metadata": metadata, "weight_map": weight_map}, indent=2))
    except BaseException:
        for file in set(written) - old:
            file.unlink(missing_ok=True)
        raise
    for file in old - set(written):
        file.unlink(missing_ok=True)


def remove_shards(path: str | os.PathLike[str], but: Path) -> None:
    """Remove an index, if there is one, and then the files of its set, but for one that now is no part of it.

    MLX writes an index beside the single file of the weights, which is its whole set.
    """
    files = _files_of(Path(path))
    Path(path).unlink(missing_ok=True)
    for file in files - {but}:
        file.unlink(missing_ok=True)


def split(tensors: Mapping[str, np.ndarray], max_shard_bytes: int) -> list[list[str]]:
    """Names by shard, in order: each shard is filled before the next is begun."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, array in tensors.items():
        if shards[-1] and size + array.nbytes > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += array.nbytes
    return shards


def _files_of(path: Path) -> set[Path]:
    """The files of the set that is there now; none where there is no readable one."""
    try:
        return set(read_index(path).files.values())
    except CheckpointError:
        return set()


def _free_names(path: Path, shards: list[list[str]], text: str) -> list[str]:
    """Names that no file has yet, so that an older set stays whole until the index turns to the new one."""
    stem = path.name.removesuffix(INDEX_ENDING)
    digest = hashlib.sha256(f"{text}{shards}".encode()).hexdigest()[:8]  # where a file has it, its content is the same
    plain, marked = (
        [f"{start}-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
        for start in (stem, f"{stem}-{digest}")
    )
    return marked if any((path.parent / name).exists() for name in plain) else plain
