"""Read torch's two containers: the zip archive since torch 1.6, and the older single stream.

Both have a pickle, and the bytes of the storages outside of it. Storages are read on access.
Source: torch/serialization.py, torch 2.13.
"""

from __future__ import annotations

import functools
import io
import re
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from danet_common import CheckpointError
from weights_convert.containers.pickle_reader import read_pickle
from weights_convert.containers.pickled_tensors import CONSTRUCTORS, PickledTensor, Storage, storage_from_id
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.zip_archive import Archive

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
LEGACY_NUMBER = b"\x8a\x0a" + MAGIC_NUMBER.to_bytes(10, "little")
LEGACY_START = b"\x80\x02" + LEGACY_NUMBER
# First bytes for the protocols 2 to 5, which torch.save takes; from 4 on they have frames.
LEGACY = re.compile(rb"\x80[\x02-\x05](\x95.{8})?" + re.escape(LEGACY_NUMBER), re.DOTALL)
PICKLE = "/data.pkl"

Resolve = Callable[[PickledTensor], np.ndarray]


def read_zip(archive: Archive) -> tuple[Any, Resolve]:
    """Return the object of the zip container's pickle, and a function that reads a tensor's values."""
    root = min((name for name in archive.names if name.endswith(PICKLE)), key=len).removesuffix(PICKLE)
    if f"{root}/constants.pkl" in archive:
        raise CheckpointError("is a TorchScript program, not a state dict. Save model.state_dict() instead")
    order = "little"
    if f"{root}/byteorder" in archive:
        order = archive.read(f"{root}/byteorder").tobytes().decode("ascii", "replace")
    if order not in ("little", "big"):
        raise CheckpointError(f"unknown byte order {order!r}; the file is damaged")
    content = read_pickle(io.BytesIO(archive.read(root + PICKLE).data), CONSTRUCTORS, storage_from_id)
    return content, lambda tensor: tensor.resolve(
        lambda key: archive.read(f"{root}/data/{key}"), order != sys.byteorder
    )


def read_legacy(source: SourceFile) -> tuple[Any, Resolve]:
    """Return object and reader function of the older container.

    The container has pickles of magic number, protocol, system, object and storage keys. Length and elements of
    each storage follow, always little-endian.
    """
    file, data = source.file, source.data
    storages: dict[str, Storage] = {}

    def remember(identity: Any) -> Any:
        storage = storage_from_id(identity)
        if not isinstance(storage, Storage):  # the size of its bytes in the stream is unknown
            raise ValueError(f"storage class {storage.name} is not supported")
        storages[storage.key] = storage
        return storage

    file.seek(0)
    for _ in range(3):
        read_pickle(file, CONSTRUCTORS)
    content = read_pickle(file, CONSTRUCTORS, remember)
    keys = read_pickle(file, CONSTRUCTORS)
    position = file.tell()
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise CheckpointError("the list of storages is damaged")
    extents: dict[str, slice] = {}
    for key in keys:
        if key not in storages or position + 8 > data.size:
            raise CheckpointError(f"cut short or damaged: storage {key!r} is missing")
        (length,) = struct.unpack("<q", data[position : position + 8].data)
        end = position + 8 + length * storages[key].dtype.itemsize
        if length < 0 or end > data.size:
            raise CheckpointError(f"cut short: storage {key!r} of {length} elements ends beyond the file")
        extents[key] = slice(position + 8, end)
        position = end

    @functools.cache
    def bytes_of(key: str) -> np.ndarray:
        return data[extents[key]]

    return content, lambda tensor: tensor.resolve(bytes_of, sys.byteorder == "big")
