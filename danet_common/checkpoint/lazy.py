"""Canonical checkpoints in their files: opened at once, read tensor by tensor or slice by slice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from danet_common.checkpoint.canonical import (
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
from danet_common.checkpoint.unchanged import read_unchanged
from danet_common.config import DANetConfig
from danet_common.config.parameters import parameters
from danet_common.files.regular_file import WEIGHTS, RegularFile, open_regular

Slices = tuple[slice, ...]  # a slice of step 1 for each axis


class ContradictionError(CheckpointError):
    """A manifest and the config beside its file differ."""


@dataclass(frozen=True, eq=False)
class LazyFile:
    """An open file with its checked header. Its tensors are read by their positions, so threads may share it."""

    path: Path
    metadata: Mapping[str, str]
    entries: Mapping[str, Entry]
    file: RegularFile

    def read(self, key: str, index: Slices = ()) -> np.ndarray:
        """Return a tensor, or a slice of it that is not empty. Raises CheckpointError where the file was cut short."""
        entry = self.entries[key]
        rows = range(entry.shape[0])[index[0]] if index else range(1)
        size = entry.size // entry.shape[0] if index else entry.size
        try:
            raw = self.file.read_at(entry.start + rows.start * size, len(rows) * size).view(entry.dtype)
        except OSError as error:
            raise CheckpointError(f"{self.path}: {error.strerror or error}") from None
        if not index:
            return raw.reshape(entry.shape)
        return np.ascontiguousarray(raw.reshape(len(rows), *entry.shape[1:])[(slice(None), *index[1:])])


class LazyTensors(Mapping[str, np.ndarray]):
    """Tensors in `.safetensors` files, by name, each read when it is asked for and not kept.

    files   key in the file -> the open file; `prefix` begins each key and no name
    hashes  key -> expected SHA-256 of the tensor; slices are not checked
    """

    def __init__(
        self, files: Mapping[str, LazyFile], hashes: Mapping[str, str] | None = None, prefix: str = ""
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
        return f"{self.prefix}{name}" in self.files  # reads no tensor

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix(self.prefix) for key in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, from the header."""
        return self._entry(name).shape

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the dtype of a tensor, from the header."""
        return self._entry(name).dtype

    def part(self, name: str, index: Slices) -> np.ndarray:
        """Read a slice of a tensor, and nothing else of it. Raises IndexError unless it lies within the tensor."""
        shape = self.shape(name)
        bounds = [range(size)[axis] for axis, size in zip(index, shape, strict=True)]
        if any(axis.step != 1 for axis in bounds):
            raise IndexError(f"slices of {name} must have step 1; got {index}")
        extent = tuple(len(axis) for axis in bounds)
        if 0 in extent:
            return np.empty(extent, self.dtype(name))
        return self._read(name, tuple(slice(axis.start, axis.stop) for axis in bounds))

    def read(self, verify: bool = True) -> dict[str, np.ndarray]:
        """Read all tensors. Raises CheckpointError where a hash differs, if `verify`."""
        tensors = {name: self._read(name, ()) for name in self}
        if verify and self.hashes is not None:
            verify_hashes({self.prefix + name: array for name, array in tensors.items()}, self.hashes)
        return tensors

    def _read(self, name: str, index: Slices) -> np.ndarray:
        return self.files[self.prefix + name].read(self.prefix + name, index)

    def _entry(self, name: str) -> Entry:
        return self.files[self.prefix + name].entries[self.prefix + name]


@dataclass
class StoredCheckpoint(Checkpoint):
    """A checkpoint that is still in its files; networks are filled from it tensor by tensor."""

    tensors: LazyTensors
    extra_tensors: LazyTensors

    def check(self) -> None:
        """Raise CheckpointError, listing all missing and unused tensors and wrong shapes, from the headers."""
        check_total(self.config, {name: self.tensors.shape(name) for name in self.tensors})

    def read(self, verify: bool = True) -> Checkpoint:
        """Return the checkpoint in memory. Raises CheckpointError where a tensor differs from the manifest's hash."""
        return Checkpoint(self.config, self.tensors.read(verify), self.extra_tensors.read(verify), self.source)


class Stored(NamedTuple):
    """The open file of each tensor, and the manifest's text where there is one."""

    files: Mapping[str, LazyFile]
    manifest: str | None


def open_stored(path: str | os.PathLike[str]) -> Stored:
    """Open a `.safetensors` file, or an index and all files of its set, once. A run's folder stands for its weights.

    Raises CheckpointError where anything is damaged or missing, or a file does not hold what its index says.
    """
    path = with_run(path)
    return read_unchanged([path], lambda: stored_in(path, _open_weights(path)), recheck=False)


def stored_in(path: Path, file: RegularFile) -> Stored:
    """Return the tensors of an open `.safetensors` file, or of the set whose index is open."""
    if not is_index(file):
        stored = _stored_file(path, file)
        return Stored(dict.fromkeys(stored.entries, stored), stored.metadata.get("danet"))
    index = parse_index(path, file)
    opened = {shard: _stored_file(shard, _open_weights(shard)) for shard in set(index.files.values())}
    actual = {(key, shard) for shard, stored in opened.items() for key in stored.entries}
    errors = [f"{key} in {shard.name}" for key, shard in sorted(actual ^ set(index.files.items()))]
    if errors:
        lines = "\n  ".join(errors)
        raise CheckpointError(f"{path}: the files do not hold what the index says ({len(errors)} errors):\n  {lines}")
    text = index.metadata.get("danet")
    files = {key: opened[shard] for key, shard in index.files.items()}
    return Stored(files, text if isinstance(text, str) else None)


def _open_weights(path: Path) -> RegularFile:
    try:
        return open_regular(path, WEIGHTS)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None


def _stored_file(path: Path, file: RegularFile) -> LazyFile:
    try:
        return LazyFile(path, *read_header(file), file)
    except (ValueError, TypeError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: a safetensors file that is cut short or damaged ({reason})") from None


def open_checkpoint(path: str | os.PathLike[str]) -> StoredCheckpoint:
    """Open a canonical `.safetensors` file or the index of a set, once.

    Raises CheckpointError unless the files hold exactly the network's tensors.
    """
    return checkpoint_in(path, open_stored(path))


def checkpoint_in(path: str | os.PathLike[str], stored: Stored, config: DANetConfig | None = None) -> StoredCheckpoint:
    """Return the checkpoint in open files. Raises CheckpointError as `open_checkpoint` does.

    `config` is for files that lost their manifest, and with it the hashes; a manifest must have the same config.
    """
    files, text = stored
    source: dict[str, Any] = {}
    hashes = None
    if text is not None:
        in_manifest, source, hashes = parse_manifest(text)
        require_same(path, in_manifest, config or in_manifest)
        config = in_manifest
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


def require_same(path: str | os.PathLike[str], in_manifest: DANetConfig, beside: DANetConfig) -> None:
    """Raise ContradictionError where the manifest's config in `path` and a config beside the file differ."""
    fields = beside.to_dict()
    differing = [name for name, value in in_manifest.to_dict().items() if value != fields[name]]
    if differing:
        raise ContradictionError(f"{path}: its manifest and the config beside it differ in {', '.join(differing)}")


def read_checkpoint(path: str | os.PathLike[str], verify: bool = True) -> Checkpoint:
    """Read a canonical `.safetensors` file or the index of a set. Raises CheckpointError unless it is complete."""
    return open_checkpoint(path).read(verify)
