"""From a canonical checkpoint to a file of any format, canonical or under an owner's names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from danet_common import Checkpoint, CheckpointError
from weights_convert.formats import ForeignWriter, writer_of
from weights_convert.reading import schema_named
from weights_convert.schemas import Schema
from weights_convert.schemas.engine import Say, from_canonical


def write(
    checkpoint: Checkpoint,
    path: str | os.PathLike[str],
    to_schema: str | None = None,
    report: Callable[[str], None] | None = None,
) -> None:
    """Write a checkpoint, atomically, replacing an existing file; the ending of `path` chooses the format.

    Raises CheckpointError where the format or the schema cannot hold it, or the path cannot be written.
    """
    check_destination(Path(path), to_schema, force=True)
    write_to(checkpoint, Path(path), to_schema, report or (lambda line: None))


def check_destination(path: Path, to_schema: str | None, force: bool) -> None:
    """Raise CheckpointError where writing `path` is bound to fail, before any work is done."""
    writer = writer_of(path)
    if _foreign(to_schema) is not None and not isinstance(writer, ForeignWriter):
        raise CheckpointError(
            f"{path}: a {writer.NAME} file cannot hold schema {to_schema}; write .pth or .safetensors"
        )
    if not path.parent.is_dir():
        raise CheckpointError(f"{path}: there is no directory {path.parent}; make it first")
    if not path.exists():
        return
    if not force:
        raise CheckpointError(f"{path}: exists already; give another name, or --force to replace it")
    if path.is_dir() != writer.DIRECTORY:
        raise CheckpointError(f"{path}: is a {'directory' if path.is_dir() else 'file'}; give another name")


def write_to(checkpoint: Checkpoint, path: Path, to_schema: str | None, say: Say) -> None:
    """Write a checkpoint, reporting what the file cannot hold."""
    writer, schema = writer_of(path), _foreign(to_schema)
    try:
        if schema is not None and isinstance(writer, ForeignWriter):
            writer.write_foreign(from_canonical(schema, checkpoint, say), path, schema.wrap)
        else:
            for line in writer.write(checkpoint, path):
                say(line)
    except (OSError, RuntimeError) as error:  # HDF5 raises RuntimeError where it cannot finish a file
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: cannot be written: {reason}") from None


def _foreign(name: str | None) -> Schema | None:
    """The schema to write, where it is not the canonical one."""
    schema = None if name is None else schema_named(name)
    return None if schema is None or schema.name == "canonical" else schema
