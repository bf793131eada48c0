"""The canonical checkpoint: tensors by canonical name, and the config that rebuilds their network.

On disk it is a `.safetensors` file with a JSON manifest in its metadata (key "danet"): format_version, config, source
and the SHA-256 of each tensor's little-endian bytes in C order.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
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
LISTED = 100  # errors in a message
EXTRA_TENSOR = "passenger."  # prefix of stored tensors that are not the network's


class CheckpointError(ValueError):
    """A file that is not the complete checkpoint that it should be. The text is meant for the user.

    Letters that no terminal should get, which the text may quote from the file, are escaped.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


@dataclass
class Checkpoint:
    """A trained network.

    tensors        canonical name -> array, in the canonical (torch) layout
    extra_tensors  upstream's key -> array: tensors of a foreign file that its network never uses, kept so that the
                   file can be written again in full
    source         JSON-ready facts for people: origin, schema, assumptions, ...
    """

    config: DANetConfig
    tensors: Mapping[str, np.ndarray]
    extra_tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise CheckpointError, listing all missing and unused tensors and wrong shapes."""
        check_total(self.config, {name: array.shape for name, array in self.tensors.items()})

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each tensor."""
        return hash_tensors(self.tensors)


def check_total(config: DANetConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise CheckpointError, listing the errors, unless `shapes` are exactly those of this network's tensors."""
    table = parameters(config)
    errors = [f"missing: {name} {list(table[name].shape)}" for name in table if name not in shapes]
    errors += [f"unused: {name} {list(shapes[name])}" for name in shapes if name not in table]
    errors += [
        f"wrong shape: {name} is {list(shapes[name])}, expected {list(table[name].shape)}"
        for name in table
        if name in shapes and tuple(shapes[name]) != table[name].shape
    ]
    if errors:
        lines = "\n  ".join(errors[:LISTED] + ["..."] * (len(errors) > LISTED))
        raise CheckpointError(f"the tensors do not fit the network ({pluralise(len(errors), 'error')}):\n  {lines}")


def hash_tensors(tensors: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return the SHA-256 of each array's bytes in C order. Hashing releases the GIL, so threads share the work."""
    if len(tensors) == 1:
        return {name: _digest(array) for name, array in tensors.items()}
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return dict(zip(tensors, pool.map(_digest, tensors.values()), strict=True))


def _digest(array: np.ndarray) -> str:
    contiguous = np.ascontiguousarray(array)
    return hashlib.sha256(contiguous.reshape(-1).view(np.uint8).data).hexdigest()


def manifest(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint's manifest, JSON-ready. Raises CheckpointError for an invalid name of a tensor."""
    for name in (*checkpoint.tensors, *checkpoint.extra_tensors):
        require_name(name)
    return {
        "format_version": FORMAT_VERSION,
        "config": checkpoint.config.to_dict(),
        "source": dict(checkpoint.source),
        "sha256": hash_tensors(on_disk(checkpoint)),
    }


def parse_manifest(text: str | bytes) -> tuple[DANetConfig, dict[str, Any], dict[str, str]]:
    """Return config, source and hashes of a manifest's JSON text. Raises CheckpointError where it is invalid."""
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
    """Raise CheckpointError where a tensor's name is empty, too long, or has letters that do not print."""
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise CheckpointError(f"a tensor's name {name[:50]!r} is empty, too long, or no text")


def verify_hashes(tensors: Mapping[str, np.ndarray], expected: Mapping[str, str]) -> None:
    """Raise CheckpointError, naming all tensors whose bytes differ from the manifest's hashes."""
    names = [name for name, digest in hash_tensors(tensors).items() if digest != expected.get(name)]
    if names:
        tensors_of = pluralise(len(names), "tensor")
        raise CheckpointError("\n  ".join([f"SHA-256 differs from the manifest's for {tensors_of}:", *names]))


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
    """Return the tensors by the names that they are stored under, the extra tensors last."""
    return {**checkpoint.tensors, **{EXTRA_TENSOR + name: array for name, array in checkpoint.extra_tensors.items()}}
