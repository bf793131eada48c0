"""From any file to a canonical checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError, DANetConfig, parameters
from danet_common.checkpoint import PASSENGER, check_total, parse_manifest, verify_hashes
from weights_convert.contents import Contents
from weights_convert.formats import Reader, reader_for
from weights_convert.infer import infer
from weights_convert.opened import Opened, open_source
from weights_convert.recognition import find_match
from weights_convert.schemas import Schema, layouts_of
from weights_convert.schemas.engine import Say, check_settings, to_canonical
from weights_convert.settings import format_setting, parse_settings

DATA_PARALLEL = "module."  # torch.nn.DataParallel's prefix of every key
COUNTER = ".num_batches_tracked"


def read(
    path: str | os.PathLike[str],
    schema: str | None = None,
    settings: Mapping[str, str] | None = None,
    report: Callable[[str], None] | None = None,
) -> Checkpoint:
    """Read a checkpoint of any format and schema.

    schema    the owner's layout; None: recognised from the names of the tensors
    settings  config field -> text, for what the file cannot tell: {"multi_grid": "1,2,4"}
    report    called with each line about what was defaulted, filled or dropped

    Raises CheckpointError, naming the file, where it cannot be read whole.
    """
    return read_both(Path(path), schema, settings, report)[2]


def read_both(
    path: Path,
    schema: str | None = None,
    settings: Mapping[str, str] | None = None,
    report: Callable[[str], None] | None = None,
) -> tuple[Reader, Contents, Checkpoint]:
    """The file's format, what it holds, and the checkpoint that `read` makes of it."""
    source = open_source(path)
    try:
        return read_source(source, schema, settings, report)
    finally:
        source.close()


def read_source(
    source: Opened,
    schema: str | None = None,
    settings: Mapping[str, str] | None = None,
    report: Callable[[str], None] | None = None,
) -> tuple[Reader, Contents, Checkpoint]:
    """The same of a file that is open."""
    path = source.path
    say: Say = report or (lambda line: None)
    values = parse_settings(settings)
    wanted = None if schema is None else layouts_of(schema)
    try:
        reader = reader_for(source)
        contents = reader.read(source)
        return reader, contents, checkpoint_of(contents, wanted, values, say, reader.NAME)
    except CheckpointError as error:
        text = str(error)
        raise CheckpointError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None


def checkpoint_of(
    contents: Contents, wanted: tuple[Schema, ...] | None, settings: Mapping[str, Any], say: Say, format_name: str
) -> Checkpoint:
    """The canonical checkpoint of what a file holds."""
    for note in contents.notes:
        say(note)
    if contents.manifest is None:
        contents.tensors = {name: _whole_counter(name, array) for name, array in contents.tensors.items()}
    if contents.manifest is None and contents.config is None:
        tensors = without_data_parallel(contents.tensors, say)
        checkpoint = to_canonical(find_match(tensors, wanted, contents.remarks), tensors, settings, say)
        return Checkpoint(
            checkpoint.config, checkpoint.tensors, checkpoint.passengers, {"format": format_name, **checkpoint.source}
        )
    if wanted is not None and wanted[0].name != "canonical":
        named = wanted[0].name
        raise CheckpointError(f"the file says that it is canonical, not of schema {named}; leave the schema out")
    if contents.manifest is None:
        config, source = _stated_config(contents.config or {}), {"format": format_name, "schema": "canonical"}
    else:
        config, source, hashes = parse_manifest(contents.manifest)
        passengers = {PASSENGER + name: array for name, array in contents.passengers.items()}
        verify_hashes({**contents.tensors, **passengers}, hashes)
    config = _set(config, contents.tensors, settings, say)
    check_total(config, {name: array.shape for name, array in contents.tensors.items()})
    ordered = {name: contents.tensors[name] for name in parameters(config)}
    return Checkpoint(config, ordered, contents.passengers, source)


def without_data_parallel(tensors: Mapping[str, np.ndarray], say: Say) -> Mapping[str, np.ndarray]:
    """The tensors without DataParallel's prefix, where all have it."""
    if not tensors or not all(key.startswith(DATA_PARALLEL) for key in tensors):
        return tensors
    say(f"{DATA_PARALLEL}: DataParallel's prefix of every key taken off")
    return {key.removeprefix(DATA_PARALLEL): array for key, array in tensors.items()}


def _whole_counter(name: str, array: np.ndarray) -> np.ndarray:
    """A counter of batches in 64 bits: JAX, and Keras with it, saves 32."""
    return array.astype(np.int64) if name.endswith(COUNTER) and array.dtype == np.int32 else array


def _stated_config(fields: Mapping[str, Any]) -> DANetConfig:
    try:
        return DANetConfig.from_dict(fields)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the config in the file is damaged: {error}") from None


def _set(config: DANetConfig, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any], say: Say) -> DANetConfig:
    """A stated config with settings, which may change only what the tensors do not tell."""
    if not settings:
        return config
    shapes = {name: array.shape for name, array in tensors.items()}
    check_settings(infer(shapes), settings, shapes)
    for name, value in settings.items():
        if getattr(config, name) != value:
            say(f"{name}={format_setting(value)}: as set; the file says {format_setting(getattr(config, name))}")
    try:
        return config.replace(**settings)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
