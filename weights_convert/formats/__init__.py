"""File formats, one file each. The content of a file chooses the reader, the ending of a path the writer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from danet_common import Checkpoint, CheckpointError
from danet_common.files.atomic import Judge, always
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats import (
    keras_archive,
    keras_weights_file,
    msgpack_file,
    mxnet_file,
    npz_file,
    orbax_directory,
    pickle_file,
    pretrained_folder,
    run_folder,
    safetensors_file,
    safetensors_index,
    torch_distributed,
    torch_file,
    torch_folder,
    torch_program,
)


class Reader(Protocol):
    """Interface of a module that reads a format."""

    NAME: str

    def recognises(self, source: SourceFile) -> bool:
        """True if the source has this format."""
        ...

    def read(self, source: SourceFile) -> Contents: ...


class Writer(Protocol):
    """Interface of a module that writes a format."""

    NAME: str


@runtime_checkable
class CanonicalWriter(Writer, Protocol):
    """Interface of a module that writes canonical files."""

    def write(self, checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
        """Write atomically; return lines about omitted tensors. `replace` raises if a file must not be replaced."""
        ...


@runtime_checkable
class ForeignWriter(Writer, Protocol):
    """Interface of a module that writes tensors under any names, in the object of the upstream trainer."""

    def write_foreign(self, content: Mapping[str, Any], path: Path, replace: Judge = always) -> None: ...


READERS: tuple[Reader, ...] = (
    torch_file,
    torch_program,
    torch_distributed,
    keras_archive,
    keras_weights_file,
    orbax_directory,
    pretrained_folder,
    run_folder,
    torch_folder,
    npz_file,
    safetensors_file,
    safetensors_index,
    mxnet_file,
    pickle_file,
    msgpack_file,
)
WRITERS: tuple[tuple[str, CanonicalWriter], ...] = (
    (".safetensors", safetensors_file),
    (".safetensors.index.json", safetensors_index),
    (".pth", torch_file),
    (".pt", torch_file),
    (".pth.tar", torch_file),
    (".keras", keras_archive),
    (".weights.h5", keras_weights_file),
    (".orbax", orbax_directory),
    (".npz", npz_file),
)
UPSTREAM_WRITERS: tuple[tuple[str, ForeignWriter], ...] = (  # formats without a canonical layout
    (".pdparams", pickle_file),
    (".params", mxnet_file),
)

ALL_WRITERS: tuple[tuple[str, Writer], ...] = (*WRITERS, *UPSTREAM_WRITERS)
ENDINGS = tuple(ending for ending, _ in ALL_WRITERS)

# Other files that users pass, by their first bytes.
OTHER_FILES: Mapping[bytes, str] = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"<!DO": "an HTML page, perhaps of a download that failed",
    b"<htm": "an HTML page, perhaps of a download that failed",
    b"version https://git-lfs": "a Git LFS pointer; fetch the file itself with `git lfs pull`",
}


def reader_for(source: SourceFile) -> Reader:
    """Return the reader of an open file or directory. Raise CheckpointError if no format fits."""
    try:
        for reader in READERS:
            if reader.recognises(source):
                return reader
        what = _what(source)
    except OSError as error:
        raise CheckpointError(f"{source.path}: cannot be read: {error.strerror or error}") from None
    known = ", ".join(reader.NAME for reader in READERS)
    raise CheckpointError(f"{source.path}: {what}, not a checkpoint. Formats that can be read: {known}")


def writer_of(path: Path) -> Writer:
    """Return the writer for a path's ending. Raise CheckpointError for an unknown ending."""
    for ending, writer in ALL_WRITERS:
        if path.name.endswith(ending) and path.name != ending:
            return writer
    raise CheckpointError(f"{path}: the ending does not say which format to write. Known endings: {', '.join(ENDINGS)}")


def endings_of(names: Collection[str]) -> list[str]:
    """Return the endings of the formats with these names."""
    return [ending for ending, writer in ALL_WRITERS if writer.NAME in names]


def _what(source: SourceFile) -> str:
    if source.is_folder:
        if (source.path / "saved_model.pb").is_file():
            return "a SavedModel, a program whose weights have no names of a network; save the model as .keras instead"
        return "a directory without Orbax's metadata or the hub's model.safetensors, and not a run's folder"
    if not source.start:
        return "an empty file"
    if source.start.startswith(b"PK"):
        return "a zip archive of other content" if source.records else "a zip archive that is cut short or damaged"
    return next(
        (what for mark, what in OTHER_FILES.items() if source.start.startswith(mark)), "a file of unknown content"
    )
