"""What live networks are filled from: a checkpoint, a file of any format, or a live network of any framework."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError, parameters
from danet_common.float8 import FLOAT8
from danet_common.folding import require_unfolded
from danet_common.leaves import from_channels_last
from danet_common.pretrained import open_folder, pretrained_checkpoint
from danet_common.stored import Slices, StoredTensors, checkpoint_in, open_checkpoint, stored_in
from weights_convert.containers.source_file import open_source
from weights_convert.ema import choose_averages
from weights_convert.formats import pretrained_folder, reader_for, run_folder, safetensors_file, safetensors_index
from weights_convert.mapping.apply import Log
from weights_convert.read import read_source

CHANNELS_LAST = {"danet_torch": False, "danet_tf": True, "danet_jax": True}  # package of a live network -> its layout
READ_IN_PARTS = (safetensors_file, safetensors_index)

Source = Any  # a Checkpoint, a path, or a network of one of the three packages


class LiveTensors(Mapping[str, np.ndarray]):
    """The tensors of a live network under canonical names and in canonical layout; each is read when asked for."""

    def __init__(self, model: Any, package: str) -> None:
        weights = importlib.import_module(f"{package}.weights")
        self.leaves = {parameter.name: (parameter, leaf) for parameter, leaf in weights.named_leaves(model)}
        self._get_leaf = weights.get_leaf
        self._channels_last = CHANNELS_LAST[package]

    def __getitem__(self, name: str) -> np.ndarray:
        parameter, leaf = self.leaves[name]
        array = self._get_leaf(leaf)
        return from_channels_last(parameter, array) if self._channels_last else array

    def __iter__(self) -> Iterator[str]:
        return iter(self.leaves)

    def __len__(self) -> int:
        return len(self.leaves)

    def dtype(self, name: str) -> str:
        """Of one tensor, without copying it."""
        return str(self.leaves[name][1].dtype).removeprefix("torch.")


def as_checkpoint(source: Source, weights_key: str | None = None, report: Log | None = None) -> Checkpoint:
    """The source as a checkpoint; tensors of canonical files and of live networks are read when asked for.

    weights_key  which set of weights of a file to take, where it has several
    report       called with each line about what reading a file took, filled or left out

    Raises CheckpointError where it is not whole, or folded, TypeError where it is nothing that holds a network,
    or where `weights_key` is given for what is no file.
    """
    if weights_key is not None and not isinstance(source, str | os.PathLike):
        raise TypeError(f"weights_key={weights_key!r} is for a file; got {type(source).__name__}")
    if isinstance(source, Checkpoint):
        source.check()
        return source
    if isinstance(source, str | os.PathLike):
        return open_any(Path(source), weights_key, report)
    package = package_of(source)
    if package is None:
        raise TypeError(f"wanted a Checkpoint, a path or a network of {', '.join(CHANNELS_LAST)}; got {type(source)}")
    require_unfolded(source.numerics)
    return Checkpoint(source.config, LiveTensors(source, package), source={"backend": package.removeprefix("danet_")})


def package_of(model: Any) -> str | None:
    """Which of the three packages a live network is of; wrappers of torch's put classes of their own before its."""
    tops = [kind.__module__.partition(".")[0] for kind in type(model).__mro__]
    return next((top for top in tops if top in CHANNELS_LAST), None)


def open_any(path: Path, weights_key: str | None = None, report: Log | None = None) -> Checkpoint:
    """Open a file or folder of any format and layout; tensors of a canonical one are read when asked for.

    `report` is called with each line about what was assumed. Raises CheckpointError where it cannot be read whole.
    """
    source = open_source(path)
    reader = reader_for(source)
    if weights_key is None and reader is run_folder:
        return choose_averages(open_checkpoint(path), None, report or ignore)
    if weights_key is None and reader is pretrained_folder:
        files = open_folder(path)
        if files.stored.manifest is not None:  # else of a schema that must be recognised
            return choose_averages(pretrained_checkpoint(files), None, report or ignore)
    elif weights_key is None and reader in READ_IN_PARTS:
        stored = safetensors_index.open_set(source) if reader is safetensors_index else stored_in(path, source.file)
        if stored.manifest is not None:
            return choose_averages(checkpoint_in(path, stored), None, report or ignore)
    return read_source(source, report=report, weights_key=weights_key).checkpoint


def ignore(line: str) -> None:
    """Drop a line that no caller asked for."""


def read_part(checkpoint: Checkpoint, name: str, index: Slices) -> np.ndarray:
    """A slice of a canonical tensor; of a canonical file nothing else is read.

    The whole tensor is held to its SHA-256, where the file has one; a slice cannot be.
    """
    tensors = checkpoint.tensors
    if not isinstance(tensors, StoredTensors):
        return tensors[name][index]
    whole = all(range(size)[axis] == range(size) for axis, size in zip(index, tensors.shape(name), strict=True))
    return tensors[name] if whole else tensors.part(name, index)


def kernel_dtype(checkpoint: Checkpoint) -> str:
    """The dtype of the convolution kernels, float32 for float8. Raises CheckpointError where they have several."""
    tensors = checkpoint.tensors
    kernels = [name for name, parameter in parameters(checkpoint.config).items() if parameter.kind == "kernel"]
    if isinstance(tensors, StoredTensors | LiveTensors):
        found = {str(tensors.dtype(name)) for name in kernels}
    else:
        found = {str(tensors[name].dtype) for name in kernels}
    found = {"float32" if name in FLOAT8 else name for name in found}
    if len(found) > 1:
        raise CheckpointError(f"the kernels are of several dtypes, {', '.join(sorted(found))}: say which with dtype=")
    return found.pop()
