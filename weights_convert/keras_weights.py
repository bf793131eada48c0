"""The HDF5 file of a Keras network's weights: by itself as `.weights.h5`, and within a `.keras` archive."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from danet_common import Checkpoint, CheckpointError, Parameter, parameters
from danet_common.leaves import from_channels_last, to_channels_last
from weights_convert.archive import BytesFile
from weights_convert.contents import Contents
from weights_convert.keras_layout import group_of, parameter_at
from weights_convert.pickled_arrays import native

MANIFEST = "danet"  # attribute of the root
NETWORK = ("backbone", "head", "auxiliary")  # groups of the network; others are the optimizer's and the metrics'
VARIABLE = re.compile(r"(.+)/vars/([0-9]{1,3})")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
KERAS_2 = (
    "a weights file of Keras 2, which no DANet here was saved with (DANet-keras cannot be converted at all: "
    "its attention convolutions are never saved)"
)
WANTED = "a Keras file needs h5py; install danet[tf]"


def read_weights(raw: np.ndarray, path: Path) -> Contents:
    """Every tensor of the HDF5 file in `raw`, uint8 (n,), as a view of it where it is stored plainly.

    Raises CheckpointError, naming `path`, where the file is damaged or holds nothing of a DANet.
    """
    try:
        import h5py
    except ImportError:
        raise CheckpointError(f"{path}: {WANTED}") from None
    try:
        with h5py.File(BytesFile(raw), "r") as file:
            if "layer_names" in file.attrs or "model_weights" in file:
                raise CheckpointError(f"{path}: {KERAS_2}")
            return _contents(file, raw, path)
    except CheckpointError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{path}: an HDF5 file that is cut short or damaged ({error})") from None


def _contents(file: Any, raw: np.ndarray, path: Path) -> Contents:
    tensors: dict[str, np.ndarray] = {}
    others: dict[str, int] = {}
    for name, dataset in _datasets(file):
        top = name.partition("/")[0]
        match = VARIABLE.fullmatch(name)
        if top not in NETWORK or match is None:
            others[top] = others.get(top, 0) + 1
            continue
        found = parameter_at(match[1], int(match[2]))
        array = _array(dataset, raw, path)
        if found is None:
            tensors[name] = array  # has no canonical name, and is reported as unused under its own
        else:
            tensors[found[0]] = from_channels_last(Parameter(found[0], array.shape, found[1]), array)
    if not tensors:
        raise CheckpointError(f"{path}: an HDF5 file without the groups {', '.join(NETWORK)} of a DANet")
    text = file.attrs.get(MANIFEST)
    notes = tuple(f"left out: {count} tensors of {top}, no part of the network" for top, count in others.items())
    return Contents(tensors=tensors, manifest=text if isinstance(text, str) else None, notes=notes)


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Every dataset with its path. Links out of the file are not followed, and each object is seen once."""
    import h5py

    found: list[tuple[str, Any]] = []
    file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    yield from found


def _array(dataset: Any, raw: np.ndarray, path: Path) -> np.ndarray:
    """A dataset's values; its bytes must be in the file, whatever shape it claims."""
    dtype = BFLOAT16 if dataset.attrs.get("dtype") == "bfloat16" else dataset.dtype
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    if (dtype.kind not in "biuf" and dtype != BFLOAT16) or dtype.itemsize != dataset.dtype.itemsize:
        raise CheckpointError(f"{path}: {dataset.name} is of {dataset.dtype}, not of numbers")
    offset = dataset.id.get_offset()
    if size == 0:
        return np.empty(dataset.shape, dtype)
    if offset is None or dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{path}: {dataset.name} is not stored in one piece, as Keras stores it; save it again")
    if offset + size > raw.size:
        raise CheckpointError(f"{path}: {dataset.name} ends beyond the file; it is cut short")
    return native(raw[offset : offset + size].view(dtype).reshape(dataset.shape))


def weights_image(checkpoint: Checkpoint, text: str | None = None) -> memoryview:
    """The HDF5 file of a checkpoint's network as bytes, with the manifest `text` in it.

    It is made in memory: HDF5 cannot be relied on to survive a disk that is full.
    """
    try:
        import h5py
    except ImportError:
        raise CheckpointError(WANTED) from None
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        for name, parameter in parameters(checkpoint.config).items():
            group, number = group_of(parameter, checkpoint.config)
            array = np.asarray(to_channels_last(parameter, checkpoint.tensors[name]), order="C")
            variables = file.require_group(f"{group}/vars")
            variables.attrs["name"] = group.rpartition("/")[2]
            dataset = variables.create_dataset(str(number), data=array)
            if array.dtype == BFLOAT16:
                dataset.attrs["dtype"] = "bfloat16"
        if text is not None:
            file.attrs[MANIFEST] = text
    return image.getbuffer()


def left_out(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What of a checkpoint a Keras file does not hold, for the user."""
    return tuple(f"dropped: passenger {key}; a Keras file holds the network only" for key in checkpoint.passengers)
