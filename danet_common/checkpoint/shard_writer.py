"""Write a set of `.safetensors` files and its index, and remove the set that it replaces.

The files are named by their content, `<stem>-<digest>-00001-of-00003.safetensors`. So an older set stays complete until
the new index takes its place, and two writers of an index never mix their files. A file is removed only if it has such
a name, its metadata have the same digest, and no index in the folder names it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from danet_common.checkpoint.canonical import Checkpoint, manifest, on_disk
from danet_common.checkpoint.ownership import named_files, read_small
from danet_common.checkpoint.safetensors_header import read_header
from danet_common.checkpoint.safetensors_writer import write_safetensors
from danet_common.checkpoint.shards import INDEX_ENDING
from danet_common.files.atomic import Judge, always, naming, permissions, place_file
from danet_common.files.locks import locked_folder
from danet_common.files.regular_file import WEIGHTS, open_regular
from danet_common.files.temporary import folder_part
from danet_common.files.unfinished import uninterrupted

MAX_SHARD_BYTES = 5_000_000_000  # the hub's own default
MARK = "danet_set"  # in a file's metadata: the digest of its set
DIGITS = 16  # hexadecimal, of that digest


class PreparedSet(NamedTuple):
    """Finished files of a set in a folder of their own, to be moved to the folder of the index."""

    place: Path
    files: tuple[str, ...]


def write_shards(
    checkpoint: Checkpoint,
    path: str | os.PathLike[str],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    replace: Judge = always,
) -> None:
    """Write a set of files, each of at most `max_shard_bytes` of tensors or of a single larger tensor.

    The index comes last and replaces an older set: until then the old files stay, and on any error the new ones are
    removed. A link in the index's place is replaced itself, as the files of a set lie beside it.
    Raises CheckpointError if the tensors do not fit, and ValueError for a `path` without the ending or a size below
    1. Errors of `replace` for an existing index are passed on.
    """
    path = Path(path).absolute()
    if not path.name.endswith(INDEX_ENDING) or path.name == INDEX_ENDING:
        raise ValueError(f"the name of an index ends in {INDEX_ENDING}; got {path.name}")
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes must be at least 1; got {max_shard_bytes}")
    checkpoint.check()
    if os.path.lexists(path):
        if not path.is_file() and not path.is_symlink():
            raise FileExistsError(errno.EEXIST, "is no regular file, and is not replaced", str(path))
        replace(path)
    with naming(path), folder_part(path) as place:
        with naming(path, place):
            prepared = prepare_set(checkpoint, place, path.name, max_shard_bytes, permissions(path, 0o666))
        with naming(path), locked_folder(path.parent), uninterrupted():
            placed = place_shards(prepared, path.parent)
            try:
                place_file(place / path.name, path, replace)
            except BaseException:
                _remove(placed)
                raise
            remove_unnamed(path)


def prepare_set(checkpoint: Checkpoint, place: Path, index: str, max_shard_bytes: int, mode: int) -> PreparedSet:
    """Write the files and the index into the folder `place`, and return their names."""
    tensors, text = on_disk(checkpoint), json.dumps(manifest(checkpoint))
    shards = split(tensors, max_shard_bytes)
    layout = [(name, str(array.dtype), array.shape) for name, array in tensors.items()]
    digest = hashlib.sha256(f"{text}{layout}{shards}".encode()).hexdigest()[:DIGITS]
    count = len(shards)
    names = tuple(f"{_stem(index)}-{digest}-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1))
    for name, keys in zip(names, shards, strict=True):
        write_safetensors({key: tensors[key] for key in keys}, place / name, {"format": "pt", MARK: digest})
    metadata = {"total_size": sum(array.nbytes for array in tensors.values()), "danet": text}
    weight_map = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
    (place / index).write_text(json.dumps({"metadata": metadata, "weight_map": weight_map}, indent=2))
    for name in (*names, index):
        with (place / name).open("rb+") as file:
            os.fsync(file.fileno())
        (place / name).chmod(mode)
    return PreparedSet(place, names)


def place_shards(prepared: PreparedSet, folder: Path) -> list[Path]:
    """Move a set's files, not its index, into the folder; return the new ones."""
    placed: list[Path] = []
    try:
        for name in prepared.files:
            if not os.path.lexists(folder / name):
                placed.append(folder / name)
            place_file(prepared.place / name, folder / name, always)
    except BaseException:
        _remove(placed)
        raise
    return placed


def split(tensors: Mapping[str, np.ndarray], max_shard_bytes: int) -> list[list[str]]:
    """Return names by shard, in order: each shard is filled before the next is begun."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, array in tensors.items():
        if shards[-1] and size + array.nbytes > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += array.nbytes
    return shards


def replaced_shards(index: Path) -> set[str]:
    """Return the names of the files that may be removed when the index is replaced."""
    return {name for name in named_files(index) if _pattern(index.name).fullmatch(name)}


def remove_unnamed(index: Path) -> None:
    """Remove files of sets that were written for this index and that no index in the folder names now.

    The folder must be locked: no index names another writer's files yet. A file without permission stays.
    """
    pattern = _pattern(index.name)
    with contextlib.suppress(OSError):
        files = [file for file in index.parent.iterdir() if pattern.fullmatch(file.name) and _is_marked(file)]
        texts = _json_texts(index.parent) if files else []
        _remove(file for file in files if not any(file.name.encode() in text for text in texts))


def _stem(index: str) -> str:
    """Return the start of the names of a set's files: the index's, in the letters that an index may name."""
    stem = re.sub(r"[^\w.-]", "_", index.removesuffix(INDEX_ENDING), flags=re.ASCII)
    return stem if re.match(r"\w", stem, re.ASCII) else f"_{stem}"


def _pattern(index: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(_stem(index))}-[0-9a-f]{{{DIGITS}}}-\d{{5}}-of-\d{{5}}\.safetensors", re.ASCII)


def _is_marked(file: Path) -> bool:
    """True if a file's metadata have the digest in its name."""
    if file.is_symlink() or not file.is_file():
        return False
    try:
        with open_regular(file, WEIGHTS) as stream:
            return f"-{read_header(stream)[0][MARK]}-" in file.name
    except (OSError, ValueError, KeyError):
        return False


def _json_texts(folder: Path) -> list[bytes]:
    """Return the texts of all JSON files of a folder. Raises OSError where one cannot be read."""
    texts = []
    for file in folder.iterdir():
        if file.is_file():
            try:
                texts.append(read_small(file))
            except OSError:
                if ".json" in file.name.lower():
                    raise
    return texts


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
