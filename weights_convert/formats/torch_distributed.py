"""Read the folders of torch.distributed.checkpoint (DCP): `.metadata`, and one `.distcp` file for each process.

`.metadata` is a pickle: the shape and the chunks of each tensor, and where in the files each chunk lies. A chunk is
a file of torch.save with one tensor. Source: torch/distributed/checkpoint, torch 2.3 to 2.13.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from danet_common import CheckpointError
from danet_common.files.regular_file import LIST, WEIGHTS, open_regular, read_regular
from weights_convert.containers.pickle_objects import Global, Record
from weights_convert.containers.pickle_reader import read_pickle
from weights_convert.containers.pickled_tensors import STORAGE_DTYPES, TYPED_DTYPES, PickledTensor
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.torch_container import read_zip
from weights_convert.containers.zip_archive import Archive, MemoryFile, bound
from weights_convert.contents import Contents, Unread

NAME = "torch distributed"
METADATA = ".metadata"
DTYPES = {f"torch.{dtype}": dtype for dtype in (*STORAGE_DTYPES.values(), *TYPED_DTYPES.values())}
MODULE = "torch.distributed.checkpoint"
CLASSES = (
    *(f"metadata.{name}" for name in ("Metadata", "TensorStorageMetadata", "ChunkStorageMetadata", "MetadataIndex")),
    *("metadata.TensorProperties", "filesystem._StorageInfo"),
)
CONSTRUCTORS: Mapping[str, Callable[..., Any]] = {
    **{f"{MODULE}.{name}": Record for name in CLASSES},
    "torch.distributed._shard.sharded_tensor.metadata.TensorProperties": Record,  # before torch 2.3
    "torch.Size": lambda sizes=(): tuple(sizes),
}


class _Chunk(NamedTuple):
    """Place of a chunk in its tensor, and of its bytes in a file."""

    region: tuple[slice, ...]
    file: str
    start: int
    size: int


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[_Chunk, ...]


def recognises(source: SourceFile) -> bool:
    """True for a folder with DCP's metadata."""
    return source.is_folder and (source.path / METADATA).is_file()


def read(source: SourceFile) -> Contents:
    """Read every tensor on access. Raise CheckpointError if the metadata or a file is damaged or missing."""
    folder = source.path
    pickle = read_regular(folder / METADATA, LIST)
    metadata = read_pickle(io.BytesIO(pickle), CONSTRUCTORS)
    try:
        stored = metadata.state["storage_data"].items()
        places = {(key.state["fqn"], key.state.get("offset")): value.state for key, value in stored}
        described = metadata.state["state_dict_metadata"]
        tensors = {name: value.state for name, value in described.items() if isinstance(value, Record)}
        headers = {name: _header(name, value, places) for name, value in tensors.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{METADATA} is damaged: {error}") from None
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    if sum(math.prod(header.shape) * header.dtype.itemsize for header in headers.values()) > bound(size):
        raise CheckpointError(f"its tensors claim to be far larger than its files; {METADATA} is damaged")
    others = {str(name): "a stored value" for name in described if name not in headers}
    return Contents(tensors=Unread(headers, lambda name: _tensor(folder, name, headers[name])), others=others)


def _header(name: str, value: Mapping[str, Any], places: Mapping[Any, Mapping[str, Any]]) -> _Header:
    """Return shape, dtype and chunks of a tensor. Raise ValueError unless the chunks have exactly its elements."""
    shape, (kind, *_) = value["size"], value["properties"].state
    if type(name) is not str or not isinstance(kind, Global) or kind.name not in DTYPES:
        raise ValueError(f"{name} has an unknown dtype")
    chunks, count = [], 0
    for chunk in value["chunks"]:
        offsets, sizes = chunk.state["offsets"], chunk.state["sizes"]
        info = places[name, offsets]
        index = tuple(slice(start, start + size) for start, size in zip(offsets, sizes, strict=True))
        if any(not 0 <= axis.start <= axis.stop <= size for axis, size in zip(index, shape, strict=True)):
            raise ValueError(f"a chunk of {name} lies outside of it")
        if info.get("transform_descriptors"):
            raise ValueError(f"{name} is compressed. Save without extensions")
        chunks.append(_Chunk(index, info["relative_path"], info["offset"], info["length"]))
        count += math.prod(sizes)
    if count != math.prod(shape):
        raise ValueError(f"the chunks of {name} have {count} of {math.prod(shape)} elements")
    return _Header(shape, DTYPES[kind.name], tuple(chunks))


def _tensor(folder: Path, name: str, header: _Header) -> np.ndarray:
    """Return one tensor, from its chunks."""
    array, filled = np.empty(header.shape, header.dtype), np.zeros(header.shape, bool)
    for chunk in header.chunks:
        if type(chunk.file) is not str or Path(chunk.file).name != chunk.file:
            raise CheckpointError(f"{METADATA} is damaged: {name} lies outside of the folder")
        try:
            with open_regular(folder / chunk.file, WEIGHTS) as file:
                data = file.read_at(chunk.start, chunk.size)
            value, resolve = read_zip(Archive(MemoryFile(data.data)))
            if not isinstance(value, PickledTensor):
                raise CheckpointError(f"{name} is not a tensor in {chunk.file}")
            array[chunk.region] = resolve(value).reshape(array[chunk.region].shape)
            filled[chunk.region] = True
        except OSError as error:
            raise CheckpointError(f"{chunk.file}, which has {name}: {error.strerror or error}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{chunk.file}, which has {name}, is damaged: {error}") from None
    if not filled.all():
        raise CheckpointError(f"{METADATA} is damaged: the chunks of {name} overlap")
    return array
