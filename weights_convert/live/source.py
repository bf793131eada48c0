"""Open the source of a live network: a checkpoint, a file of any format, or another live network."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError, parameters
from danet_common.checkpoint.float8 import FLOAT8
from danet_common.checkpoint.lazy import LazyTensors, Slices, checkpoint_in, open_checkpoint, stored_in
from danet_common.checkpoint.network_functions import left_out, live_config
from danet_common.checkpoint.parameter_layouts import from_channels_last
from danet_common.checkpoint.pretrained import open_folder, pretrained_checkpoint
from danet_common.config.layer_names import require_trainable
from weights_convert.containers.source_file import open_source
from weights_convert.ema import choose_averages
from weights_convert.formats import pretrained_folder, reader_for, run_folder, safetensors_file, safetensors_index
from weights_convert.mapping.apply import Log
from weights_convert.read import read_all

PACKAGES = {"torch": "danet_torch", "keras": "danet_tf", "flax": "danet_jax"}  # by the framework of a wrapper
CHANNELS_LAST = {"danet_torch": False, "danet_tf": True, "danet_jax": True}  # by package
READ_IN_PARTS = (safetensors_file, safetensors_index)

Source = Any  # a Checkpoint, a path, or a network of one of the three packages


class LiveTensors(Mapping[str, np.ndarray]):
    """Tensors of a live network in canonical names and layout, copied on access."""

    def __init__(self, model: Any, package: str) -> None:
        weights = importlib.import_module(f"{package}.parameters")
        self.leaves = {parameter.name: (parameter, leaf) for parameter, leaf in weights.named_parameters(model)}
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
        """Return the dtype of one tensor, without a copy."""
        return str(self.leaves[name][1].dtype).removeprefix("torch.")


def as_checkpoint(source: Source, weights_key: str | None = None, report: Log | None = None) -> Checkpoint:
    """Return the source as a checkpoint; tensors of canonical files and live networks are read on access.

    weights_key  the set of weights to take if a file has several
    report       called with each line about defaults, filled or omitted tensors of a file

    Raise CheckpointError if it is incomplete or folded. Raise TypeError if it is not a source, or for
    `weights_key` without a file.
    """
    if weights_key is not None and not isinstance(source, str | os.PathLike):
        raise TypeError(f"weights_key={weights_key!r} is for a file; got {type(source).__name__}")
    if isinstance(source, Checkpoint):
        source.check()
        return source
    if isinstance(source, str | os.PathLike):
        return open_any(Path(source), weights_key, report)
    network, package = live_network(source)
    require_trainable(network.layer_set, "saved")
    tensors = LiveTensors(network, package)
    config = live_config(network, {name: parameter.shape for name, (parameter, _) in tensors.leaves.items()})
    for name in left_out(network, config):
        tensors.leaves.pop(name, None)
    return Checkpoint(config, tensors, source={"backend": package.removeprefix("danet_")})


def live_network(source: Source) -> tuple[Any, str]:
    """Return the live network in a source, which may be a wrapper of it or a larger model, and its package.

    Raise TypeError if there is none.
    """
    tops = [kind.__module__.partition(".")[0] for kind in type(source).__mro__]
    package = next((PACKAGES.get(top, top) for top in tops if PACKAGES.get(top, top) in CHANNELS_LAST), None)
    if package is None:
        raise TypeError(f"expected a Checkpoint, a path or a network of {', '.join(CHANNELS_LAST)}; got {type(source)}")
    return importlib.import_module(f"{package}.parameters").network_in(source), package


def open_any(path: Path, weights_key: str | None = None, report: Log | None = None) -> Checkpoint:
    """Open a file or folder of any format and schema; tensors of a canonical one are read on access.

    `report` is called with each line about an assumption. Raise CheckpointError if it cannot be read completely.
    """
    source, log = open_source(path), report or (lambda line: None)
    reader = reader_for(source)
    if weights_key is None and reader is run_folder:
        return choose_averages(open_checkpoint(path), None, log)
    if weights_key is None and reader is pretrained_folder:
        files = open_folder(path)
        if files.stored.manifest is not None:  # else detect the schema
            return choose_averages(pretrained_checkpoint(files), None, log)
    elif weights_key is None and reader in READ_IN_PARTS:
        stored = safetensors_index.open_set(source) if reader is safetensors_index else stored_in(path, source.file)
        if stored.manifest is not None:
            return choose_averages(checkpoint_in(path, stored), None, log)
    return read_all(source, report=report, weights_key=weights_key).checkpoint


def read_part(checkpoint: Checkpoint, name: str, index: Slices) -> np.ndarray:
    """Return a slice of a canonical tensor; from a canonical file, read the slice only.

    A whole tensor is checked against its SHA-256 if the file has one; a slice cannot be.
    """
    tensors = checkpoint.tensors
    if not isinstance(tensors, LazyTensors):
        return tensors[name][index]
    is_complete = all(range(size)[axis] == range(size) for axis, size in zip(index, tensors.shape(name), strict=True))
    return tensors[name] if is_complete else tensors.part(name, index)


def kernel_dtype(checkpoint: Checkpoint) -> str:
    """Return the dtype of the kernels, float32 for float8. Raise CheckpointError if they have several."""
    tensors = checkpoint.tensors
    kernels = [name for name, parameter in parameters(checkpoint.config).items() if parameter.kind == "kernel"]
    if isinstance(tensors, LazyTensors | LiveTensors):
        dtypes = {str(tensors.dtype(name)) for name in kernels}
    else:
        dtypes = {str(tensors[name].dtype) for name in kernels}
    dtypes = {"float32" if name in FLOAT8 else name for name in dtypes}
    if len(dtypes) > 1:
        raise CheckpointError(f"the kernels are of several dtypes, {', '.join(sorted(dtypes))}. Choose one with dtype=")
    return dtypes.pop()
