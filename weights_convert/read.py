"""Read a file of any format and schema as a canonical checkpoint."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from danet_common import Checkpoint, CheckpointError, DANetConfig, parameters
from danet_common.checkpoint.canonical import EXTRA_TENSOR, check_total, parse_manifest, verify_hashes
from weights_convert.containers.source_file import SourceFile, open_source
from weights_convert.contents import Contents
from weights_convert.ema import choose_averages
from weights_convert.formats import Reader, reader_for
from weights_convert.mapping.apply import Log, check_settings, to_canonical
from weights_convert.mapping.infer import infer
from weights_convert.mapping.schema import Schema
from weights_convert.schemas import layouts_of
from weights_convert.settings import format_setting, parse_settings
from weights_convert.weight_sets.choose import SeveralSetsError, choose
from weights_convert.weight_sets.find import WeightSet

COUNTER = ".num_batches_tracked"


class Reading(NamedTuple):
    """Result of `read_all`: format, contents, checkpoint, all sets of weights, and the set taken."""

    reader: Reader
    contents: Contents
    checkpoint: Checkpoint
    weight_sets: Sequence[WeightSet]
    taken: WeightSet | None


def read(
    path: str | os.PathLike[str],
    schema: str | None = None,
    settings: Mapping[str, str] | None = None,
    report: Callable[[str], None] | None = None,
    weights_key: str | None = None,
) -> Checkpoint:
    """Read a checkpoint of any format and schema.

    schema       name of its schema; None: detect it from the names of the tensors
    settings     config field -> text, for fields that the file does not determine: {"multi_grid": "1,2,4"}
    report       called with each line about defaults, filled, dropped or omitted tensors
    weights_key  the set of weights to take if there are several, such as "ema"; None: the trained one

    Raise CheckpointError, naming the file, if it cannot be read completely, or if it has several sets of weights
    and none is the obvious choice.
    """
    return read_all(Path(path), schema, settings, report, weights_key).checkpoint


def read_all(
    place: Path | SourceFile,
    schema: str | None = None,
    settings: Mapping[str, str] | None = None,
    report: Callable[[str], None] | None = None,
    weights_key: str | None = None,
) -> Reading:
    """Read a path, or an open file, as `read` does; return contents and sets of weights as well."""
    path = place.path if isinstance(place, SourceFile) else place
    values, schemas = parse_settings(settings), None if schema is None else layouts_of(schema)
    with contextlib.closing(place if isinstance(place, SourceFile) else open_source(place)) as source:
        reader = reader_for(source)
        try:
            contents = reader.read(source)
            return _reading_of(reader, contents, schemas, values, report or (lambda line: None), weights_key)
        except SeveralSetsError as error:
            raise SeveralSetsError(f"{path}: {error}", error.labels) from None
        except CheckpointError as error:
            text = str(error)
            raise CheckpointError(text if text.startswith(str(path)) else f"{path}: {text}") from None
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (ValueError, OverflowError) as error:
            raise CheckpointError(f"{path}: damaged {reader.NAME} file: {error}") from None


def _reading_of(
    reader: Reader,
    contents: Contents,
    schemas: tuple[Schema, ...] | None,
    settings: Mapping[str, Any],
    log: Log,
    weights_key: str | None,
) -> Reading:
    """Make the canonical checkpoint from a file's contents."""
    for note in contents.notes:
        log(note)
    if contents.manifest is None and contents.config is None:
        choice = choose(contents, schemas, weights_key, log)
        tensors = {name: _whole_counter(name, array) for name, array in choice.tensors.items()}
        checkpoint = to_canonical(choice.weight_set.match, tensors, settings, log)
        source = {"format": reader.NAME, **checkpoint.source}
        if len(choice.weight_sets) > 1:
            source["weights_key"] = choice.weight_set.label
        return Reading(reader, contents, replace(checkpoint, source=source), choice.weight_sets, choice.weight_set)
    if schemas is not None and schemas[0].name != "canonical":
        raise CheckpointError(f"the file is canonical, not of schema {schemas[0].name}. Omit the schema")
    if contents.manifest is None:
        contents.tensors = {name: _whole_counter(name, array) for name, array in contents.tensors.items()}
        source = {"format": reader.NAME, "schema": "canonical"}
        try:
            config = DANetConfig.from_dict(contents.config or {})
        except (ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(f"the config in the file is damaged: {error}") from None
    else:
        config, source, hashes = parse_manifest(contents.manifest)
        extra_tensors = {EXTRA_TENSOR + name: array for name, array in contents.extra_tensors.items()}
        verify_hashes({**contents.tensors, **extra_tensors}, hashes)
    config = _set(config, contents.tensors, settings, log)
    check_total(config, {name: array.shape for name, array in contents.tensors.items()})
    ordered = {name: contents.tensors[name] for name in parameters(config)}
    checkpoint = Checkpoint(config, ordered, contents.extra_tensors, source)
    return Reading(reader, contents, choose_averages(checkpoint, weights_key, log), (), None)


def _whole_counter(name: str, array: np.ndarray) -> np.ndarray:
    """Return a counter of batches as int64; JAX, and Keras on JAX, save int32."""
    return array.astype(np.int64) if name.endswith(COUNTER) and array.dtype == np.int32 else array


def _set(config: DANetConfig, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any], log: Log) -> DANetConfig:
    """Return a file's config with settings. Raise CheckpointError if they contradict the tensors."""
    if not settings:
        return config
    shapes = {name: array.shape for name, array in tensors.items()}
    check_settings(infer(shapes), settings, shapes)
    for name, value in settings.items():
        if getattr(config, name) != value:
            log(f"{name}={format_setting(value)}: as set; the file says {format_setting(getattr(config, name))}")
    try:
        return config.replace(**settings)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
