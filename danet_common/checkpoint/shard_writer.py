"""Writing a set of `.safetensors` files and its index, and removing the set that it replaces.

The files are named by their content, `<stem>-<digest>-00001-of-00003.safetensors`, so that an older set stays
whole until the index turns to the new one, and two writers of one index never mix their files. A file is
removed only if it has such a name, says itself that a set of ours consists of it (or holds exactly what the
manifest in the old index says, as older sets do), and no index in the folder names it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from danet_common.checkpoint import Checkpoint, CheckpointError, manifest, on_disk, parse_manifest
from danet_common.checkpoint.safetensors_header import read_header
from danet_common.checkpoint.safetensors_writer import write_safetensors
from danet_common.checkpoint.shards import INDEX_ENDING, INDEX_LIMIT, SHARD, is_index
from danet_common.files.atomic import Judge, always, naming, permissions, place_file
from danet_common.files.locks import locked_folder
from danet_common.files.regular_file import WEIGHTS, open_regular
from danet_common.files.strict_json import parse_json
from danet_common.files.temporary import folder_part
from danet_common.files.unfinished import uninterrupted

MAX_SHARD_BYTES = 5_000_000_000  # the hub's own default
MARK = "danet_set"  # in a file's metadata: the digest of the set that it is a part of
DIGITS = 16  # hexadecimal, of that digest
NUMBERED = r"\d{5}-of-\d{5}\.safetensors"
READ = 1 << 24  # bytes at a time


class PreparedSet(NamedTuple):
    """Finished files of a set in a folder of their own, to be moved to where its index will be."""

    place: Path
    files: tuple[str, ...]


class OldSet(NamedTuple):
    """What an index says that is about to be replaced: the names of its files, and the hashes in its manifest."""

    names: frozenset[str]
    hashes: Mapping[str, str]


def write_shards(
    checkpoint: Checkpoint,
    path: str | os.PathLike[str],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    replace: Judge = always,
) -> None:
    """Write a set of files, each of at most `max_shard_bytes` of tensors or of a single larger tensor.

    The index comes last and is what replaces an older set: until then the old files are as they were, and on
    any error the new ones are removed. A link in the index's place is replaced itself, as the files of a set lie
    beside it. Raises CheckpointError if the tensors do not fit, ValueError for a `path` without the ending or a
    size below 1, and what `replace` raises for an existing index.
    """
    path = Path(path).absolute()
    if not path.name.endswith(INDEX_ENDING) or path.name == INDEX_ENDING:
        raise ValueError(f"the name of an index ends in {INDEX_ENDING}; got {path.name}")
    if max_shard_bytes < 1:
        raise ValueError(f"max_shard_bytes must be at least 1; got {max_shard_bytes}")
    checkpoint.check()
    _require_place(path, replace)
    with naming(path), folder_part(path) as place:
        with naming(path, place):
            prepared = prepare_set(checkpoint, place, path.name, max_shard_bytes, permissions(path, 0o666))
        with naming(path), locked_folder(path.parent), uninterrupted():
            old = old_set(path)
            placed = place_shards(prepared, path.parent)
            try:
                place_file(place / path.name, path, replace)
            except BaseException:
                _remove(placed)
                raise
            remove_unnamed(path.parent, path.name, old)


def _require_place(path: Path, replace: Judge) -> None:
    if os.path.lexists(path):
        if not path.is_file() and not path.is_symlink():
            raise FileExistsError(errno.EEXIST, "is no regular file, and is not replaced", str(path))
        replace(path)


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
    """Move a set's files, not its index, into the folder; return those that were not there before."""
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


def old_set(path: Path) -> OldSet:
    """What an index says, however little of it can be read."""
    try:
        content = parse_json(_read_small(path))
        names = frozenset(name for name in content["weight_map"].values() if SHARD.fullmatch(name))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return OldSet(frozenset(), {})
    try:
        return OldSet(names, parse_manifest(content["metadata"]["danet"])[2])
    except (ValueError, TypeError, KeyError):
        return OldSet(names, {})


def named_files(path: Path) -> set[Path]:
    """The files that an index names; none for what is no index."""
    return {path.parent / name for name in old_set(path).names}


def replaced_shards(path: Path) -> set[Path]:
    """The files that may be removed once the index at `path` is replaced, by their names."""
    pattern = _pattern(path.name)
    return {path.parent / name for name in old_set(path).names if pattern.fullmatch(name)}


def remove_unnamed(folder: Path, index: str, old: OldSet) -> None:
    """Remove files of sets that were written under the name `index` and that no index in the folder names now.

    Only while the folder is locked: another writer's files are not named yet. What may not be removed stays.
    """
    pattern = _pattern(index)
    with contextlib.suppress(OSError):
        files = [file for file in folder.iterdir() if pattern.fullmatch(file.name) and _is_ours(file, old)]
        texts = _texts(folder) if files else None
        if texts is not None:
            _remove(file for file in files if not any(file.name.encode() in text for text in texts))


def _stem(index: str) -> str:
    """What the names of a set's files begin with: the index's, in the letters that an index may name."""
    stem = re.sub(r"[^\w.-]", "_", index.removesuffix(INDEX_ENDING), flags=re.ASCII)
    return stem if re.match(r"\w", stem, re.ASCII) else f"_{stem}"


def _pattern(index: str) -> re.Pattern[str]:
    """Names that a set's files have, or had before: without a digest, or with a shorter one."""
    return re.compile(rf"{re.escape(_stem(index))}(-[0-9a-f]{{8}}|-[0-9a-f]{{{DIGITS}}})?-{NUMBERED}", re.ASCII)


def _is_ours(file: Path, old: OldSet) -> bool:
    """Whether a file says that it is a part of a set of ours, or holds just what the old index says it does."""
    if file.is_symlink() or not file.is_file():
        return False
    try:
        with open_regular(file, WEIGHTS) as stream:
            metadata, entries = read_header(stream)
            if MARK in metadata:
                return f"-{metadata[MARK]}-" in file.name
            if file.name not in old.names or not entries:
                return False
            for name, entry in entries.items():
                digest = hashlib.sha256()
                for start in range(0, entry.size, READ):
                    digest.update(stream.read_at(entry.start + start, min(READ, entry.size - start)).data)
                if digest.hexdigest() != old.hashes.get(name):
                    return False
    except (OSError, ValueError):
        return False
    return True


def _texts(folder: Path) -> list[bytes] | None:
    """What all JSON files of a folder say, indexes of any name among them; None where one cannot be read."""
    texts = []
    for file in folder.iterdir():
        if file.is_file():
            try:
                texts.append(_read_small(file))
            except OSError:
                if ".json" in file.name.lower():
                    return None
    return texts


def _read_small(path: Path) -> bytes:
    """A file's bytes; none of one that is too large for an index, or not JSON."""
    with open_regular(path, WEIGHTS) as file:
        return file.read() if file.size <= INDEX_LIMIT.size and is_index(file) else b""


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def require_own_index(path: Path) -> None:
    """Raise CheckpointError unless an index has our manifest, or names none but files that have one themselves."""
    require_own(path, _is_own_index)


def require_own_file(path: Path) -> None:
    """Raise CheckpointError unless a `.safetensors` file has our manifest."""
    require_own(path, _has_manifest)


def require_own(path: Path, is_own: Callable[[Path], bool]) -> None:
    """Raise CheckpointError unless `is_own` is true of a file, or the file is gone.

    Another writer may replace or remove the file while it is judged: then it is judged again.
    """
    before = _identity(path)
    while not is_own(path):
        after = _identity(path)
        if after is None:
            return
        if after == before:
            raise CheckpointError(f"{path}: danet did not write it, and does not replace it; give another folder")
        before = after


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _is_own_index(path: Path) -> bool:
    old = old_set(path)
    return bool(old.hashes or (old.names and all(_has_manifest(path.parent / name) for name in old.names)))


def _has_manifest(path: Path) -> bool:
    try:
        with open_regular(path, WEIGHTS) as file:
            metadata: Mapping[str, Any] = read_header(file)[0]
        parse_manifest(metadata["danet"])
    except (OSError, ValueError, KeyError):
        return False
    return True
