"""Canonical checkpoints where they are stored: opened at once, read tensor by tensor or slice by slice.

A `.safetensors` file says where each tensor lies, so whoever needs a part of one reads that part only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from danet_common.checkpoint import (
    EXTRA_TENSOR,
    Checkpoint,
    CheckpointError,
    check_total,
    parse_manifest,
    verify_hashes,
)
from danet_common.checkpoint.run_weights import with_run
from danet_common.checkpoint.safetensors_header import Entry, read_header
from danet_common.checkpoint.shards import is_index, parse_index
from danet_common.config import DANetConfig
from danet_common.config.parameters import parameters
from danet_common.files.regular_file import WEIGHTS, RegularFile, open_regular
from danet_common.files.unchanged import read_unchanged

Slices = tuple[slice, ...]  # one slice of step 1 for each axis


class ContradictionError(CheckpointError):
    """A manifest and the config beside its file say different things."""


@dataclass(frozen=True, eq=False)
class StoredFile:
    """One open file with its checked header. Its tensors are read by their positions, so threads may share it."""

    path: Path
    metadata: Mapping[str, str]
    entries: Mapping[str, Entry]
    file: RegularFile

    def read(self, key: str, index: Slices = ()) -> np.ndarray:
        """One tensor, or a slice of it that is not empty. Raises CheckpointError where the file was cut short."""
        entry = self.entries[key]
        try:
            if index:
                return self._slice(entry, index)
            return self.file.read_at(entry.start, entry.size).view(entry.dtype).reshape(entry.shape)
        except OSError as error:
            raise CheckpointError(f"{self.path}: {error.strerror or error}") from None

    def _slice(self, entry: Entry, index: Slices) -> np.ndarray:
        """A slice that is not empty: rows of the first axis, one at a time where the other axes have slices too."""
        rows = range(entry.shape[0])[index[0]]
        size = entry.size // entry.shape[0]
        if all(len(range(length)[axis]) == length for axis, length in zip(index[1:], entry.shape[1:], strict=True)):
            raw = self.file.read_at(entry.start + rows.start * size, len(rows) * size)
            return raw.view(entry.dtype).reshape(len(rows), *entry.shape[1:])
        parts = []
        for row in rows:
            raw = self.file.read_at(entry.start + row * size, size)
            parts.append(raw.view(entry.dtype).reshape(entry.shape[1:])[index[1:]].copy())
        return np.stack(parts)


class LazyTensors(Mapping[str, np.ndarray]):
    """Tensors in `.safetensors` files, by name, each read when it is asked for and kept by nobody.

    files   key in the file -> the open file; `prefix` begins each key and no name
    hashes  key -> SHA-256 that a whole tensor is held to; of a slice nothing can be said
    """

    def __init__(
        self, files: Mapping[str, StoredFile], hashes: Mapping[str, str] | None = None, prefix: str = ""
    ) -> None:
        self.files = files
        self.hashes = hashes
        self.prefix = prefix

    def __getitem__(self, name: str) -> np.ndarray:
        array = self._read(name, ())
        if self.hashes is not None:
            verify_hashes({self.prefix + name: array}, self.hashes)
        return array

    def __contains__(self, name: object) -> bool:
        return f"{self.prefix}{name}" in self.files  # nothing is read for that

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix(self.prefix) for key in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor, without reading it."""
        return self._file(name).entries[self.prefix + name].shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """Of one tensor, without reading it."""
        return self._file(name).entries[self.prefix + name].dtype

    def part(self, name: str, index: Slices) -> np.ndarray:
        """A slice of one tensor; nothing else of it is read. Raises IndexError unless it lies within the tensor."""
        shape = self.shape(name)
        bounds = [range(size)[axis] for axis, size in zip(index, shape, strict=True)]
        if any(axis.step != 1 for axis in bounds):
            raise IndexError(f"slices of {name} must have step 1; got {index}")
        extent = tuple(len(axis) for axis in bounds)
        if 0 in extent:
            return np.empty(extent, self.dtype(name))
        return self._read(name, tuple(slice(axis.start, axis.stop) for axis in bounds))

    def read(self, verify: bool = True) -> dict[str, np.ndarray]:
        """All of them in memory, held to their hashes unless told not to."""
        tensors = {name: self._read(name, ()) for name in self}
        if verify and self.hashes is not None:
            verify_hashes({self.prefix + name: array for name, array in tensors.items()}, self.hashes)
        return tensors

    def _read(self, name: str, index: Slices) -> np.ndarray:
        return self._file(name).read(self.prefix + name, index)

    def _file(self, name: str) -> StoredFile:
        return self.files[self.prefix + name]


@dataclass
class StoredCheckpoint(Checkpoint):
    """A checkpoint that is still where it is stored; networks are filled from it tensor by tensor."""

    tensors: LazyTensors
    extra_tensors: LazyTensors

    def check(self) -> None:
        """Raise CheckpointError listing everything missing, unused and misshapen; nothing is read for that."""
        check_total(self.config, {name: self.tensors.shape(name) for name in self.tensors})

    def read(self, verify: bool = True) -> Checkpoint:
        """The same in memory. Raises CheckpointError where a tensor is not what the manifest was made for."""
        return Checkpoint(self.config, self.tensors.read(verify), self.extra_tensors.read(verify), self.source)


def open_file(path: Path) -> StoredFile:
    """Open a `.safetensors` file. Raises CheckpointError where it is damaged or is none."""
    return stored_file(path, open_weights(path))


def open_weights(path: Path) -> RegularFile:
    """Open a file of weights. Raises CheckpointError where it is none."""
    try:
        return open_regular(path, WEIGHTS)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None


def stored_file(path: Path, file: RegularFile) -> StoredFile:
    """An open `.safetensors` file with its header. Raises CheckpointError where it is damaged or is none."""
    try:
        return StoredFile(path, *read_header(file), file)
    except (ValueError, TypeError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: a safetensors file that is cut short or damaged ({reason})") from None


class Stored(NamedTuple):
    """The open file of every tensor, and the manifest's text where there is one."""

    files: Mapping[str, StoredFile]
    manifest: str | None


def open_stored(path: str | os.PathLike[str]) -> Stored:
    """Open a `.safetensors` file, or an index and all files of its set, once. A run's folder stands for its weights.

    Raises CheckpointError where anything is damaged or missing, or a file does not hold what its index says.
    """
    path = with_run(path)
    return read_unchanged([path], lambda: stored_in(path, open_weights(path)), whole=False)


def stored_in(path: Path, file: RegularFile) -> Stored:
    """The tensors of an open `.safetensors` file, or of the set whose index is open."""
    if not is_index(file):
        stored = stored_file(path, file)
        return Stored(dict.fromkeys(stored.entries, stored), stored.metadata.get("danet"))
    index = parse_index(path, file)
    opened = {shard: open_file(shard) for shard in set(index.files.values())}
    there = {(key, shard) for shard, stored in opened.items() for key in stored.entries}
    faults = [f"{key} in {shard.name}" for key, shard in sorted(there ^ set(index.files.items()))]
    if faults:
        listed = "\n  ".join(faults)
        raise CheckpointError(f"{path}: the files do not hold what the index says ({len(faults)} faults):\n  {listed}")
    text = index.metadata.get("danet")
    files = {key: opened[shard] for key, shard in index.files.items()}
    return Stored(files, text if isinstance(text, str) else None)


def open_checkpoint(path: str | os.PathLike[str], config: DANetConfig | None = None) -> StoredCheckpoint:
    """A canonical `.safetensors` file or the index of a set, opened once.

    `config` is for files that lost their manifest, and with it the hashes; with one it must be the same.
    Raises CheckpointError unless the files hold exactly the network's tensors.
    """
    return checkpoint_in(path, open_stored(path), config)


def checkpoint_in(path: str | os.PathLike[str], stored: Stored, config: DANetConfig | None = None) -> StoredCheckpoint:
    """The checkpoint in files that are open. Raises CheckpointError as `open_checkpoint` does."""
    files, text = stored
    source: dict[str, Any] = {}
    hashes = None
    if text is not None:
        stated, source, hashes = parse_manifest(text)
        require_same(path, stated, config or stated)
        config = stated
    if config is None:
        raise CheckpointError(f"{path}: a safetensors file without a danet manifest; use `danet convert` to import it")
    extra_tensors = {key: file for key, file in files.items() if key.startswith(EXTRA_TENSOR)}
    network = {key: file for key, file in files.items() if key not in extra_tensors}
    names = [name for name in parameters(config) if name in network]  # in the order of the forward pass
    ordered = {name: network[name] for name in dict.fromkeys([*names, *network])}
    checkpoint = StoredCheckpoint(
        config, LazyTensors(ordered, hashes), LazyTensors(extra_tensors, hashes, EXTRA_TENSOR), source
    )
    checkpoint.check()
    return checkpoint


def require_same(path: str | os.PathLike[str], stated: DANetConfig, beside: DANetConfig) -> None:
    """Raise CheckpointError where the manifest in `path` and a config beside the file say different things."""
    other = beside.to_dict()
    fields = [name for name, value in stated.to_dict().items() if value != other[name]]
    if fields:
        raise ContradictionError(f"{path}: its manifest and the config beside it differ in {', '.join(fields)}")


def read_checkpoint(path: str | os.PathLike[str], verify: bool = True) -> Checkpoint:
    """Read a canonical `.safetensors` file or the index of a set. Raises CheckpointError unless it is whole."""
    return open_checkpoint(path).read(verify)
