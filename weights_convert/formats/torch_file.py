"""torch checkpoints, read and written without torch; see `pickle_reader` for why that is safe.

A canonical file is {"danet": manifest, "state_dict": tensors[, "passengers": tensors]}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import Checkpoint, CheckpointError
from danet_common.atomic import Judge, always, atomic_file
from danet_common.checkpoint import manifest
from weights_convert.archive import bound, raw_bytes, write_archive
from weights_convert.contents import Contents
from weights_convert.opened import Opened
from weights_convert.pickle_reader import Opaque
from weights_convert.pickle_writer import write_pickle
from weights_convert.pickled_arrays import PickledArray
from weights_convert.pickled_tensors import PickledTensor
from weights_convert.schemas.schema import Wrap
from weights_convert.torch_container import LEGACY_STARTS, PICKLE, Resolve, read_legacy, read_zip

NAME = "torch"
DIRECTORY = False
WRAPS = True
ALIGNMENT = 64  # bytes, of each storage in the file; torch's own
STATE_DICT_ENTRIES = ("state_dict", "model", "model_state_dict")  # where trainers keep the state dict


def recognises(source: Opened) -> bool:
    """Whether this is a torch file: its pickle record, or the old container's magic number."""
    return source.start.startswith(LEGACY_STARTS) or any(name.endswith(PICKLE) for name in source.records)


def read(source: Opened) -> Contents:
    """Read either container. Raises CheckpointError where it is damaged or holds no state dict."""
    path, legacy = source.path, source.start.startswith(LEGACY_STARTS)
    try:
        content, resolve = read_legacy(source) if legacy else read_zip(source)
        return _contents(source, content, resolve)
    except CheckpointError as error:
        text = str(error)
        raise CheckpointError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: damaged torch file: {error}") from None


def _contents(source: Opened, content: Any, resolve: Resolve) -> Contents:
    path = source.path
    if isinstance(content, Opaque):
        raise CheckpointError(
            f"{path}: holds a pickled object of class {content.name}, which is never run; "
            "save its state_dict() with torch.save and convert that"
        )
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a state dict")
    held = [item for item in map(content.get, STATE_DICT_ENTRIES) if isinstance(item, dict | Opaque)]
    state_dict = next(filter(_has_tensors, held), held[0] if held else content)  # a "model" may be its settings
    if isinstance(state_dict, Opaque):
        raise CheckpointError(f"{path}: its state dict is an object of class {state_dict.name}; a plain dict is wanted")
    manifest = content.get("danet")
    passengers = content.get("passengers", {}) if manifest is not None else {}
    return Contents(
        tensors=_tensors(source, state_dict, resolve),
        passengers=_tensors(source, passengers, resolve) if passengers else {},
        manifest=manifest if isinstance(manifest, str) else None,
        remarks={} if state_dict is content else {key: value for key, value in content.items() if type(key) is str},
    )


def _has_tensors(item: Any) -> bool:
    return isinstance(item, dict) and any(isinstance(value, PickledTensor | PickledArray) for value in item.values())


def _tensors(source: Opened, state_dict: Any, resolve: Resolve) -> dict[str, np.ndarray]:
    path = source.path
    if not isinstance(state_dict, dict):
        raise CheckpointError(f"{path}: its state dict is a {type(state_dict).__name__}, not a dict of tensors")
    claimed = sum(value.nbytes for value in state_dict.values() if isinstance(value, PickledTensor))
    if claimed > bound(source.file.size):  # strides and shared storages can repeat few bytes as many
        raise CheckpointError(f"{path}: its tensors claim to be {claimed} bytes, far more than the damaged file")
    tensors: dict[str, np.ndarray] = {}
    others = []
    for name, value in state_dict.items():
        if isinstance(value, PickledTensor) and isinstance(name, str):
            try:
                tensors[name] = resolve(value)
            except KeyError:
                raise CheckpointError(f"{path}: the storage of {name} is missing; the file is damaged") from None
        elif isinstance(value, PickledArray) and value.array is not None and isinstance(name, str):
            tensors[name] = value.array
        else:
            others.append(f"{name}: a {value.name}" if isinstance(value, Opaque) else str(name))
    if not tensors:
        raise CheckpointError(
            f"{path}: no tensors in its state dict; looked at the top and in {', '.join(STATE_DICT_ENTRIES)}"
        )
    if others:
        listed = "\n  ".join(others)
        raise CheckpointError(f"{path}: {len(others)} entries of its state dict are no tensors:\n  {listed}")
    return tensors


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write the canonical file. `torch.load(path, weights_only=True, mmap=True)` reads it."""
    content: dict[str, Any] = {"danet": json.dumps(manifest(checkpoint)), "state_dict": checkpoint.tensors}
    if checkpoint.passengers:
        content["passengers"] = checkpoint.passengers
    _write(content, path, replace)
    return ()


def write_foreign(named: Mapping[str, np.ndarray], path: Path, wrap: Wrap | None, replace: Judge = always) -> None:
    """Write tensors under an owner's names, in the object that the owner's trainer saves."""
    _write(wrap(named) if wrap else named, path, replace)


def _write(content: Mapping[str, Any], path: Path, replace: Judge) -> None:
    pickle, arrays = write_pickle(content)
    with atomic_file(path, replace) as temporary:
        write_archive(temporary, _records(pickle, arrays), ALIGNMENT)


def _records(pickle: bytes, arrays: list[np.ndarray]) -> Iterator[tuple[str, bytes | memoryview]]:
    yield "archive/data.pkl", pickle
    yield "archive/byteorder", b"little"
    for index, array in enumerate(arrays):
        yield f"archive/data/{index}", raw_bytes(array)
    yield "archive/version", b"3\n"
