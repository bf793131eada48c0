"""Read and write torch checkpoints without torch; `pickle_reader` says why that is safe.

A canonical file is {"danet": manifest, "state_dict": tensors[, "passengers": tensors]}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError
from danet_common.checkpoint.canonical import manifest
from danet_common.files.atomic import Judge, always, atomic_file
from weights_convert.containers.pickle_writer import write_pickle
from weights_convert.containers.pickled_tensors import PickledTensor
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.torch_container import LEGACY, PICKLE, Resolve, read_legacy, read_zip
from weights_convert.containers.zip_archive import Archive, bound, raw_bytes, write_archive
from weights_convert.contents import Contents, Described, Unread
from weights_convert.formats.pickled_tree import collect, flatten

NAME = "torch"
ALIGNMENT = 64  # bytes; alignment of each storage in the file, as torch has it
STATE_DICT, EXTRA_TENSORS = "state_dict", "passengers"  # keys of a canonical file


def recognises(source: SourceFile) -> bool:
    """True for a torch file, by its pickle record or the old container's magic number."""
    return bool(LEGACY.match(source.start)) or any(name.endswith(PICKLE) for name in source.records)


def read(source: SourceFile) -> Contents:
    """Read either container. Raise CheckpointError if it is damaged or has no state dict."""
    content, resolve = read_legacy(source) if LEGACY.match(source.start) else read_zip(Archive(source.file))
    size = source.file.size
    fields = content if isinstance(content, dict) else {}
    manifest = fields.get("danet")
    if isinstance(manifest, str):
        tensors, extra_tensors = (_tensors_at(size, content, key, resolve) for key in (STATE_DICT, EXTRA_TENSORS))
        return Contents(tensors=tensors, extra_tensors=extra_tensors, manifest=manifest)
    tree = collect(content)
    return Contents(
        tensors=_unread(size, tree.tensors, resolve),
        holders=tree.holders,
        others=tree.others,
        metadata={key: value for key, value in fields.items() if type(key) is str and key not in tree.tensors},
    )


def _tensors_at(size: int, content: dict[Any, Any], key: str, resolve: Resolve) -> Mapping[str, np.ndarray]:
    """Return the tensors of one dictionary of a canonical file, which has no other values."""
    values = content.get(key, {})
    tree = flatten(values) if isinstance(values, dict) else None
    if tree is None or tree.others or set(tree.holders.values()) - {""}:
        raise CheckpointError(f"{key} is not a dictionary of tensors; the file is damaged")
    return dict(_unread(size, tree.tensors, resolve))


def _unread(size: int, headers: Mapping[str, Described], resolve: Resolve) -> Unread:
    """Return tensors that are read on access. Raise CheckpointError if the file is too small for them."""
    claimed = sum(header.nbytes for header in headers.values() if isinstance(header, PickledTensor))
    if claimed > bound(size):  # strides and shared storages can repeat bytes
        raise CheckpointError(f"its tensors claim to be {claimed} bytes, far more than the damaged file")

    def read(name: str) -> np.ndarray:
        header = headers[name]
        try:
            return resolve(header) if isinstance(header, PickledTensor) else np.asarray(header)
        except KeyError:
            raise CheckpointError(f"the storage of {name} is missing; the file is damaged") from None
        except CheckpointError:
            raise
        except (ValueError, OverflowError) as error:
            raise CheckpointError(f"damaged torch file: {error}") from None

    return Unread(headers, read)


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the canonical file. `torch.load(path, weights_only=True, mmap=True)` reads it."""
    content: dict[str, Any] = {"danet": json.dumps(manifest(checkpoint)), STATE_DICT: checkpoint.tensors}
    if checkpoint.extra_tensors:
        content[EXTRA_TENSORS] = checkpoint.extra_tensors
    write_foreign(content, path, replace)
    return ()


def write_foreign(content: Mapping[str, Any], path: Path, replace: Judge = always) -> None:
    """Write the object that an upstream trainer saves."""
    pickle, arrays = write_pickle(content)
    with atomic_file(path, replace) as temporary:
        write_archive(temporary, _records(pickle, arrays), ALIGNMENT)


def _records(pickle: bytes, arrays: list[np.ndarray]) -> Iterator[tuple[str, bytes | memoryview]]:
    yield "archive/data.pkl", pickle
    yield "archive/byteorder", b"little"
    for index, array in enumerate(arrays):
        yield f"archive/data/{index}", raw_bytes(array)
    yield "archive/version", b"3\n"
