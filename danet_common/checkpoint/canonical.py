"""The canonical checkpoint: tensors by canonical name, and the config that rebuilds their network.

On disk it is one `.safetensors` file with a JSON manifest in its metadata (key "danet"):
format_version, config, source and the SHA-256 of every tensor's little-endian bytes in C order.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from danet_common.checkpoint.safetensors_writer import write_safetensors
from danet_common.config import DANetConfig
from danet_common.config.parameters import parameters
from danet_common.files.atomic import Judge, always, atomic_file
from danet_common.files.strict_json import parse_json
from danet_common.text import pluralise, printable

FORMAT_VERSION = 1
LARGEST_SOURCE = 1_000_000  # letters of JSON; a training run's has 10,000
LONGEST_NAME = 500  # letters of a tensor's name
LISTED = 100  # faults in a message
EXTRA_TENSOR = "passenger."  # prefix of tensors that travel along without being part of the network


class CheckpointError(ValueError):
    """A file that is not, or not wholly, the checkpoint it should be. The text is meant for the user.

    It may quote what is in the file, so letters that no terminal should be given are escaped.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


@dataclass
class Checkpoint:
    """One trained network.

    tensors     canonical name -> array, in the canonical (torch) layout
    extra_tensors  upstream's key -> array: tensors of a foreign file that its network never uses, kept so that
                the file can be written again whole
    source      where it came from, for people: schema, what was defaulted, ...
    """

    config: DANetConfig
    tensors: Mapping[str, np.ndarray]
    extra_tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise CheckpointError listing everything missing, unused and misshapen."""
        check_total(self.config, {name: array.shape for name, array in self.tensors.items()})

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each tensor."""
        return hash_tensors(self.tensors)


def check_total(config: DANetConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise CheckpointError, listing the faults, unless `shapes` are exactly this network's tensors."""
    wanted = parameters(config)
    faults = [f"missing: {name} {list(wanted[name].shape)}" for name in wanted if name not in shapes]
    faults += [f"unused: {name} {list(shapes[name])}" for name in shapes if name not in wanted]
    faults += [
        f"misshapen: {name} is {list(shapes[name])}, expected {list(wanted[name].shape)}"
        for name in wanted
        if name in shapes and tuple(shapes[name]) != wanted[name].shape
    ]
    if faults:
        listed = "\n  ".join(faults[:LISTED] + ["..."] * (len(faults) > LISTED))
        raise CheckpointError(f"the tensors do not fit the network ({pluralise(len(faults), 'fault')}):\n  {listed}")


def hash_tensors(tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """SHA-256 of each array's bytes in C order. Hashing releases the GIL, so threads share the work."""
    if len(tensors) == 1:
        return {name: _digest(array) for name, array in tensors.items()}
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return dict(zip(tensors, pool.map(_digest, tensors.values()), strict=True))


def _digest(array: np.ndarray) -> str:
    contiguous = np.ascontiguousarray(array)
    return hashlib.sha256(contiguous.reshape(-1).view(np.uint8).data).hexdigest()


def manifest(checkpoint: Checkpoint) -> dict[str, Any]:
    """The JSON-ready manifest of a checkpoint. Raises CheckpointError for names that no file could be read with."""
    for name in (*checkpoint.tensors, *checkpoint.extra_tensors):
        require_name(name)
    return {
        "format_version": FORMAT_VERSION,
        "config": checkpoint.config.to_dict(),
        "source": dict(checkpoint.source),
        "sha256": hash_tensors(on_disk(checkpoint)),
    }


def parse_manifest(text: str | bytes) -> tuple[DANetConfig, dict[str, Any], dict[str, str]]:
    """Config, source and hashes of a manifest's JSON text. Raises CheckpointError where it is none of ours."""
    try:
        content = parse_json(text)
        version = content["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(f"manifest format_version is {version!r}; this danet reads {FORMAT_VERSION}")
        source, hashes = dict(content["source"]), dict(content["sha256"])
        if len(json.dumps(source)) > LARGEST_SOURCE:
            raise CheckpointError(f"the manifest's source is longer than {LARGEST_SOURCE} letters")
        return DANetConfig.from_dict(content["config"]), source, hashes
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"the manifest is damaged: {error}") from None


def require_name(name: str) -> None:
    """Raise CheckpointError where a tensor's name is no name: empty, too long, or with letters that do not print."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise CheckpointError(f"a tensor's name {name[:50]!r} is empty, too long, or no text")


def verify_hashes(tensors: Mapping[str, np.ndarray], wanted: Mapping[str, str]) -> None:
    """Raise CheckpointError naming every tensor whose bytes are not those the manifest was made for."""
    found = hash_tensors(tensors)
    _complain("SHA-256 differs from the manifest's", [name for name in found if found[name] != wanted.get(name)])


def write_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike[str], replace: Judge = always) -> None:
    """Write a canonical `.safetensors` file, atomically. Raises CheckpointError if the tensors do not fit.

    `replace` raises where an existing file must stay: `always` and `never` are in danet_common.files.atomic.
    """
    checkpoint.check()
    text = json.dumps(manifest(checkpoint))
    try:
        with atomic_file(path, replace) as temporary:
            write_safetensors(on_disk(checkpoint), temporary, {"danet": text})
    except ValueError as error:
        raise CheckpointError(str(error)) from None


def on_disk(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The tensors by the names that they are stored under, the extra tensors last."""
    return {**checkpoint.tensors, **{EXTRA_TENSOR + name: array for name, array in checkpoint.extra_tensors.items()}}


def _complain(what: str, names: Iterable[str]) -> None:
    names = list(names)
    if names:
        raise CheckpointError(f"{what} for {pluralise(len(names), 'tensor')}:\n  " + "\n  ".join(names))
