"""Write a canonical checkpoint to a file of any format, with canonical or upstream names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from danet_common import Checkpoint, CheckpointError
from danet_common.files.atomic import always, never
from weights_convert.containers.orbax_layout import require_only_orbax
from weights_convert.formats import (
    ENDINGS,
    CanonicalWriter,
    ForeignWriter,
    endings_of,
    orbax_directory,
    safetensors_file,
    writer_of,
)
from weights_convert.mapping.apply import Log, from_canonical, layout_for
from weights_convert.mapping.schema import Schema
from weights_convert.schemas import SCHEMAS, layouts_of


def write(
    checkpoint: Checkpoint,
    path: str | os.PathLike[str],
    to_schema: str | None = None,
    report: Callable[[str], None] | None = None,
) -> None:
    """Write a checkpoint atomically; the ending of `path` chooses the format. Replace an existing file.

    A folder is replaced only if it contains an Orbax checkpoint and nothing else. Raise CheckpointError if the
    format or the schema cannot hold the checkpoint, or if `path` cannot be written.
    """
    check_destination(path, to_schema, force=True)
    write_to(checkpoint, Path(path), to_schema, report or (lambda line: None))


def check_destination(destination: str | os.PathLike[str], to_schema: str | None, force: bool) -> None:
    """Raise CheckpointError if writing there is certain to fail, before any work."""
    try:
        _check_destination(os.fspath(destination), to_schema, force)
    except OSError as error:
        raise CheckpointError(f"{destination}: cannot be written: {error.strerror or error}") from None


def _check_destination(destination: str, to_schema: str | None, force: bool) -> None:
    path = Path(destination)
    if not path.name.endswith(ENDINGS) and path.is_dir():
        raise CheckpointError(f"{path}: is a folder. Name a file in it, such as {path / 'danet.safetensors'}")
    writer, layouts = writer_of(path), _foreign(to_schema)
    is_folder = writer.NAME == orbax_directory.NAME
    if destination.endswith(os.sep) and not is_folder:
        raise CheckpointError(f"{destination}: names a folder, but {writer.NAME} is a file. Remove the last {os.sep}")
    if layouts is None and not isinstance(writer, CanonicalWriter):
        upstreams = sorted({schema.name for schema in SCHEMAS if writer.NAME in schema.formats})
        option = (
            f"--to {' or '.join(upstreams)}. In Python, call weights_convert.write(checkpoint, path, to_schema=...)"
        )
        raise CheckpointError(f"{path}: {writer.NAME} files have no canonical layout. Add {option}")
    if layouts is not None and writer.NAME not in layouts[0].formats:
        endings = " or ".join(endings_of(layouts[0].formats))
        raise CheckpointError(f"{path}: {writer.NAME} files cannot hold schema {to_schema}. Write {endings}")
    if not path.parent.is_dir():
        raise CheckpointError(f"{path}: directory {path.parent} is missing. Create it first")
    if not path.exists():
        return
    if not force:
        raise CheckpointError(_exists(path))
    if path.is_dir() != is_folder:
        raise CheckpointError(f"{path}: is a {'directory' if path.is_dir() else 'file'}. Choose another name")
    if is_folder:
        require_only_orbax(path)


def _exists(path: Path) -> str:
    return f"{path}: exists already. Choose another name, or replace it with --force"


def write_to(
    checkpoint: Checkpoint, path: Path, to_schema: str | None, log: Log, force: bool = True
) -> Mapping[str, np.ndarray]:
    """Write a checkpoint, log the parts that the file cannot hold, and return the tensors by their names there.

    Without `force`, raise CheckpointError if `path` exists by now.
    """
    writer, layouts = writer_of(path), _foreign(to_schema)
    replace = always if force else never
    try:
        if layouts is not None and isinstance(writer, ForeignWriter):
            schema = layout_for(layouts, checkpoint)
            wrap = None if writer.NAME == safetensors_file.NAME else schema.wrap_state_dict
            named = from_canonical(schema, checkpoint, log, wrap is not None)
            writer.write_foreign(named if wrap is None else wrap(named, checkpoint.config), path, replace)
            return named
        if isinstance(writer, CanonicalWriter):
            for line in writer.write(checkpoint, path, replace):
                log(line)
        return checkpoint.tensors
    except FileExistsError as error:
        raise CheckpointError(f"{path}: {error.strerror}" if force else _exists(path)) from None
    except (OSError, RuntimeError) as error:  # TensorStore raises RuntimeError
        reason = str(getattr(error, "strerror", None) or error).removeprefix(f"{os.path.realpath(path)}: ")
        raise CheckpointError(f"{path}: cannot be written: {reason}") from None


def _foreign(name: str | None) -> tuple[Schema, ...] | None:
    """Return the writable layouts of a schema; None for the canonical one."""
    if name is None or name == "canonical":
        return None
    return tuple(schema for schema in layouts_of(name) if schema.formats)
