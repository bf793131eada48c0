"""What a checkpoint is: format, schema, config and tensors. Nothing in the file is run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import Checkpoint, DANetConfig
from danet_common.checkpoint import hash_tensors
from danet_common.run_weights import with_run
from weights_convert.read import read_all
from weights_convert.weight_sets.choose import SeveralSetsError
from weights_convert.weight_sets.find import WeightSet
from weights_convert.weight_sets.report import about_sets


@dataclass(frozen=True)
class TensorFacts:
    """One tensor: its canonical name, or the owner's for a passenger, and the SHA-256 of its bytes in C order."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str


@dataclass(frozen=True)
class WeightsFacts:
    """One set of weights of a file.

    key       what `--weights-key` calls it
    tensors   how many it has
    averages  True where its name says that it is moving averages
    taken     True for the one that reading the file takes
    """

    key: str
    schema: str
    tensors: int
    averages: bool
    taken: bool


@dataclass(frozen=True)
class Inspection:
    """One checkpoint.

    schema     the owner's layout that its names fit
    defaulted  config fields that the file cannot tell -> what is taken for them, as settings
    source     where it came from, as the file or the reader says
    tensors    those of the network, under our names; of a backbone's file without the head that reading it draws
    notes      everything that reading it defaults, fills or leaves out
    weights    the sets of weights that a file of another program has
    bytes      size of the file, of all files of the directory, or of the weights of a run
    """

    path: str
    format: str
    schema: str
    config: DANetConfig
    defaulted: Mapping[str, str]
    source: Mapping[str, Any]
    tensors: tuple[TensorFacts, ...]
    extra_tensors: tuple[TensorFacts, ...]
    notes: tuple[str, ...]
    weights: tuple[WeightsFacts, ...]
    bytes: int

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, where the checkpoint has them."""
        return self.config.class_names

    @property
    def origin(self) -> str | None:
        """Whose network it is: the repository that the schema's facts are from, and which of its layouts."""
        repository, layout = (_text(self.source.get(name)) for name in ("repository", "layout"))
        return f"{repository} ({layout})" if repository and layout else repository

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "config": self.config.to_dict(), "classes": self.classes}


def inspect(path: str | os.PathLike[str], schema: str | None = None, weights_key: str | None = None) -> Inspection:
    """What the checkpoint at `path` is. Raises CheckpointError where it is none, or not whole.

    Of a file whose sets of weights differ, where nothing tells which to take, the first is described and none is taken.
    """
    notes: list[str] = []
    try:
        reader, contents, checkpoint, weight_sets, taken = read_all(Path(path), schema, None, notes.append, weights_key)
    except SeveralSetsError as error:
        if weights_key is not None:
            raise
        first, lines = error.labels[0], list[str]()
        reader, contents, checkpoint, weight_sets, _ = read_all(Path(path), schema, None, lines.append, first)
        taken = None
        notes = [f"{str(error).removeprefix(f'{path}: ')}; what follows is of {first}"]
        notes += [line for line in lines if not about_sets(line)]
    return Inspection(
        path=os.fspath(path),
        format=reader.NAME,
        schema=_text(checkpoint.source.get("schema")) or "canonical",
        config=checkpoint.config,
        defaulted=_dict(checkpoint.source.get("defaulted")),
        source=dict(checkpoint.source),
        tensors=_facts(checkpoint.tensors if contents.manifest is not None else _stored(checkpoint)),
        extra_tensors=_facts(checkpoint.extra_tensors),
        notes=tuple(notes),
        weights=tuple(_weights(weight_set, weight_set is taken) for weight_set in weight_sets),
        bytes=_size(with_run(path)),
    )


def _weights(weight_set: WeightSet, taken: bool) -> WeightsFacts:
    return WeightsFacts(
        weight_set.label, weight_set.match.schema.name, len(weight_set.keys), weight_set.averages, taken
    )


def _text(value: Any) -> str | None:
    """A text of a manifest's source; None where the file has something else there, or nothing."""
    return value if isinstance(value, str) else None


def _dict(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _stored(checkpoint: Checkpoint) -> Mapping[str, np.ndarray]:
    """The network's tensors without the head that was drawn for an owner's file of a backbone."""
    if not checkpoint.source.get("backbone_only"):
        return checkpoint.tensors
    return {name: array for name, array in checkpoint.tensors.items() if name.startswith("backbone.")}


def _facts(tensors: Mapping[str, np.ndarray]) -> tuple[TensorFacts, ...]:
    hashes = hash_tensors(tensors)
    return tuple(TensorFacts(name, array.shape, str(array.dtype), hashes[name]) for name, array in tensors.items())


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
