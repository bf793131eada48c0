"""Describe a checkpoint: format, schema, config and tensors. No code of the file runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import DANetConfig
from danet_common.checkpoint.canonical import hash_tensors
from danet_common.checkpoint.run_weights import with_run
from weights_convert.read import read_all
from weights_convert.weight_sets.choose import SeveralSetsError, about_sets


@dataclass(frozen=True)
class TensorFacts:
    """One tensor: name (canonical; upstream for an extra tensor), shape, dtype, SHA-256 of its bytes in C order."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str


@dataclass(frozen=True)
class WeightsFacts:
    """One set of weights of a file.

    key       its name for `--weights-key`
    tensors   number of tensors
    averages  True if its name says that it is moving averages
    taken     True for the set that `read` takes
    """

    key: str
    schema: str
    tensors: int
    averages: bool
    taken: bool


@dataclass(frozen=True)
class Inspection:
    """One checkpoint.

    schema     name of the schema that its names fit
    defaulted  config fields that the file does not determine -> their defaults, as settings
    source     its origin, from the file or the reader
    tensors    tensors of the network by canonical name; only the backbone for a backbone file
    notes      lines of `read` about defaults, filled and omitted tensors
    weights    the sets of weights of another program's file
    bytes      size of the file, of all files of the directory, or of a run's weights
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
        """Names of the classes; None if the checkpoint has none."""
        return self.config.class_names

    @property
    def origin(self) -> str | None:
        """Repository of the schema, and its layout in parentheses."""
        repository, layout = (_text(self.source.get(name)) for name in ("repository", "layout"))
        return f"{repository} ({layout})" if repository and layout else repository

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return {**asdict(self), "config": self.config.to_dict(), "classes": self.classes}


def inspect(path: str | os.PathLike[str], schema: str | None = None, weights_key: str | None = None) -> Inspection:
    """Describe the checkpoint at `path`. Raise CheckpointError if it is not a complete checkpoint.

    If its sets of weights differ and none is the obvious choice, describe the first; then none is `taken`.
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
        notes = [f"{str(error).removeprefix(f'{path}: ')}. The rest describes {first}"]
        notes += [line for line in lines if not about_sets(line)]
    place, defaulted = with_run(path), checkpoint.source.get("defaulted")
    files = place.rglob("*") if place.is_dir() else [place]
    stored = checkpoint.tensors
    if contents.manifest is None and checkpoint.source.get("backbone_only"):  # its head is drawn
        stored = {name: array for name, array in stored.items() if name.startswith("backbone.")}
    return Inspection(
        path=os.fspath(path),
        format=reader.NAME,
        schema=_text(checkpoint.source.get("schema")) or "canonical",
        config=checkpoint.config,
        defaulted=dict(defaulted) if isinstance(defaulted, dict) else {},
        source=dict(checkpoint.source),
        tensors=_facts(stored),
        extra_tensors=_facts(checkpoint.extra_tensors),
        notes=tuple(notes),
        weights=tuple(
            WeightsFacts(each.label, each.match.schema.name, len(each.keys), each.averages, each is taken)
            for each in weight_sets
        ),
        bytes=sum(file.stat().st_size for file in files if file.is_file()),
    )


def _text(value: Any) -> str | None:
    """Return a text of a manifest's source; None for any other value."""
    return value if isinstance(value, str) else None


def _facts(tensors: Mapping[str, np.ndarray]) -> tuple[TensorFacts, ...]:
    hashes = hash_tensors(tensors)
    return tuple(TensorFacts(name, array.shape, str(array.dtype), hashes[name]) for name, array in tensors.items())
