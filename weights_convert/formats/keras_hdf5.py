"""The HDF5 file of a Keras network's weights: by itself as `.weights.h5`, and within a `.keras` archive."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from danet_common import Checkpoint, CheckpointError, Parameter, parameters
from danet_common.leaves import from_channels_last, to_channels_last
from weights_convert.containers.file_bytes import FileBytes
from weights_convert.containers.hdf5_reader import read_hdf5
from weights_convert.containers.hdf5_types import BFLOAT16, BFLOAT16_ATTRIBUTE
from weights_convert.containers.hdf5_writer import Array, Group, hdf5_stream
from weights_convert.containers.zip_archive import Stream
from weights_convert.contents import Contents
from weights_convert.formats.keras2_hdf5 import is_keras_2, read_keras_2
from weights_convert.formats.keras_layout import group_of, parameter_at

MANIFEST = "danet"  # attribute of the root
NETWORK = ("backbone", "head", "auxiliary")  # groups of the network; others are the optimizer's and the metrics'
VARIABLE = re.compile(r"(.+)/vars/([0-9]{1,3})")


def read_weights(raw: np.ndarray | FileBytes, path: Path) -> Contents:
    """Every tensor of the HDF5 file in `raw`, uint8 (n,).

    Raises CheckpointError, naming `path`, where the file is damaged or holds nothing of a DANet.
    """
    try:
        file = read_hdf5(raw)
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: an HDF5 file that is cut short or damaged ({error})") from None
    if is_keras_2(file):
        return read_keras_2(file, raw, path)
    tensors: dict[str, np.ndarray] = {}
    others: dict[str, int] = {}
    for name, dataset in file.datasets.items():
        top = name.partition("/")[0]
        match = VARIABLE.fullmatch(name)
        if top not in NETWORK or match is None:
            others[top] = others.get(top, 0) + 1
            continue
        if dataset.error:
            raise CheckpointError(f"{path}: {name} {dataset.error}")
        found = parameter_at(match[1], int(match[2]))
        array = dataset.values(raw)
        if found is None:
            tensors[name] = array  # has no canonical name, and is reported as unused under its own
        elif found[0] in tensors:
            raise CheckpointError(f"{path}: the tensor {found[0]} is there twice")
        else:
            tensors[found[0]] = from_channels_last(Parameter(found[0], array.shape, found[1]), array)
    if not tensors:
        raise CheckpointError(f"{path}: an HDF5 file without the groups {', '.join(NETWORK)} of a DANet")
    notes = tuple(f"left out: {count} tensors of {top}, no part of the network" for top, count in others.items())
    return Contents(tensors=tensors, manifest=file.attributes.get(MANIFEST), notes=notes)


def weights_stream(checkpoint: Checkpoint, text: str | None = None) -> Stream:
    """The HDF5 file of a checkpoint's network, with the manifest `text` in it, tensor by tensor."""
    root = Group(attributes={} if text is None else {MANIFEST: text})
    for name, parameter in parameters(checkpoint.config).items():
        path, number = group_of(parameter, checkpoint.config)
        tensor = to_channels_last(parameter, checkpoint.tensors[name])
        attributes = {"dtype": BFLOAT16_ATTRIBUTE} if tensor.dtype == BFLOAT16 else {}
        variables = root.group(f"{path}/vars")
        variables.attributes["name"] = path.rpartition("/")[2]
        variables.members[str(number)] = Array(tensor, attributes)
    return hdf5_stream(root)


def left_out(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What of a checkpoint a Keras file does not hold, for the user."""
    return tuple(
        f"dropped: extra tensor {key}; a Keras file holds the network only" for key in checkpoint.extra_tensors
    )
