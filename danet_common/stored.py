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

from danet_common.checkpoint import PASSENGER, Checkpoint, CheckpointError, check_total, parse_manifest, verify_hashes
from danet_common.config import DANetConfig
from danet_common.parameters import parameters
from danet_common.safetensors_header import Entry, read_header
from danet_common.shards import is_index, read_index

Slices = tuple[slice, ...]  # one slice of step 1 for each axis


class StoredFile(NamedTuple):
    """One open file: its checked header, and the handle of the safetensors library that reads from it."""

    metadata: Mapping[str, str]
    entries: Mapping[str, Entry]
    handle: Any


class StoredTensors(Mapping[str, np.ndarray]):
    """Tensors in `.safetensors` files, by name, each read when it is asked for and kept by nobody.

    files   key in the file -> the file; `prefix` begins each key and no name
    hashes  key -> SHA-256 that a whole tensor is held to; of a slice nothing can be said
    """

    def __init__(self, files: Mapping[str, Path], hashes: Mapping[str, str] | None = None, prefix: str = "") -> None:
        self.files = files
        self.hashes = hashes
        self.prefix = prefix
        self._open: dict[Path, StoredFile] = {}

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
        return self._file(name).handle.get_slice(self.prefix + name)[index]

    def _file(self, name: str) -> StoredFile:
        path = self.files[self.prefix + name]
        if path not in self._open:
            self._open[path] = open_file(path)
        return self._open[path]


@dataclass
class StoredCheckpoint(Checkpoint):
    """A checkpoint that is still where it is stored; networks are filled from it tensor by tensor."""

    tensors: StoredTensors
    passengers: StoredTensors

    def check(self) -> None:
        """Raise CheckpointError listing everything missing, unused and misshapen; nothing is read for that."""
        check_total(self.config, {name: self.tensors.shape(name) for name in self.tensors})

    def read(self, verify: bool = True) -> Checkpoint:
        """The same in memory. Raises CheckpointError where a tensor is not what the manifest was made for."""
        return Checkpoint(self.config, self.tensors.read(verify), self.passengers.read(verify), self.source)


def open_file(path: Path) -> StoredFile:
    """Open a `.safetensors` file. Raises CheckpointError where it is damaged or is none."""
    from safetensors import SafetensorError, safe_open

    try:
        return StoredFile(*read_header(path), safe_open(path, framework="np"))
    except (SafetensorError, ValueError, TypeError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None


def open_stored(path: str | os.PathLike[str]) -> tuple[dict[str, Path], str | None]:
    """The file of every tensor, and the manifest's text if there is one, of a `.safetensors` file or an index.

    Raises CheckpointError where anything is damaged or missing, or a file does not hold what its index says.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
    if not is_index(path):
        file = open_file(path)
        return dict.fromkeys(file.entries, path), file.metadata.get("danet")
    index = read_index(path)
    there = {(key, file) for file in set(index.files.values()) for key in open_file(file).entries}
    faults = [f"{key} in {file.name}" for key, file in sorted(there ^ set(index.files.items()))]
    if faults:
        listed = "\n  ".join(faults)
        raise CheckpointError(f"{path}: the files do not hold what the index says ({len(faults)} faults):\n  {listed}")
    text = index.metadata.get("danet")
    return dict(index.files), text if isinstance(text, str) else None


def open_checkpoint(path: str | os.PathLike[str], config: DANetConfig | None = None) -> StoredCheckpoint:
    """A canonical `.safetensors` file or the index of a set, opened.

    `config` is for files that lost their manifest, and with it the hashes; with one it must be the same.
    Raises CheckpointError unless the files hold exactly the network's tensors.
    """
    files, text = open_stored(path)
    source: dict[str, Any] = {}
    hashes = None
    if text is not None:
        stated, source, hashes = parse_manifest(text)
        require_same(path, stated, config or stated)
        config = stated
    if config is None:
        raise CheckpointError(f"{path}: a safetensors file without a danet manifest; use `danet convert` to import it")
    passengers = {key: file for key, file in files.items() if key.startswith(PASSENGER)}
    network = {key: file for key, file in files.items() if key not in passengers}
    names = [name for name in parameters(config) if name in network]  # in the order of the forward pass
    ordered = {name: network[name] for name in dict.fromkeys([*names, *network])}
    checkpoint = StoredCheckpoint(
        config, StoredTensors(ordered, hashes), StoredTensors(passengers, hashes, PASSENGER), source
    )
    checkpoint.check()
    return checkpoint


def require_same(path: str | os.PathLike[str], stated: DANetConfig, beside: DANetConfig) -> None:
    """Raise CheckpointError where the manifest in `path` and a config beside the file say different things."""
    other = beside.to_dict()
    fields = [name for name, value in stated.to_dict().items() if value != other[name]]
    if fields:
        raise CheckpointError(f"{path}: its manifest and the config beside it differ in {', '.join(fields)}")


def read_checkpoint(path: str | os.PathLike[str], verify: bool = True) -> Checkpoint:
    """Read a canonical `.safetensors` file or the index of a set. Raises CheckpointError unless it is whole."""
    return open_checkpoint(path).read(verify)
