"""Read and write the HDF5 file of a Keras network: a `.weights.h5`, or part of a `.keras` archive."""

from __future__ import annotations

import re
from typing import IO

import numpy as np

from danet_common import Checkpoint, CheckpointError, Parameter, parameters
from danet_common.checkpoint.parameter_layouts import from_channels_last, to_channels_last
from weights_convert.containers.hdf5_contents import BFLOAT16, BFLOAT16_ATTRIBUTE, DTYPES
from weights_convert.containers.hdf5_reader import read_hdf5
from weights_convert.containers.source_file import FileBytes
from weights_convert.contents import Contents
from weights_convert.formats.keras2_hdf5 import is_keras_2, read_keras_2
from weights_convert.formats.keras_layout import group_of, parameter_at

MANIFEST = "danet"  # attribute of the root group
NETWORK = ("backbone", "head", "auxiliary")  # groups of the network; others belong to wrappers, optimizer and metrics
VARIABLE = re.compile(rf"(?:(.+?)/)?((?:{'|'.join(NETWORK)})/.+)/vars/([0-9]{{1,3}})")


def read_weights(raw: np.ndarray | FileBytes) -> Contents:
    """Return every tensor of the HDF5 file in `raw`, uint8 (n,). A model around one network gives no prefix.

    Raise ValueError if the file is damaged, and CheckpointError if it has no tensor of a DANet.
    """
    file = read_hdf5(raw)
    if is_keras_2(file):
        return read_keras_2(file, raw)
    matches = {name: VARIABLE.fullmatch(name) for name in file.datasets}
    outer = {match[1] or "" for match in matches.values() if match is not None}
    tensors: dict[str, np.ndarray] = {}
    others: dict[str, int] = {}
    for name, dataset in file.datasets.items():
        top, match = name.partition("/")[0], matches[name]
        if match is None:
            others[top] = others.get(top, 0) + 1
            continue
        if dataset.error:
            raise CheckpointError(f"{name} {dataset.error}")
        prefix = f"{(match[1] or '').replace('/', '.')}." if len(outer) > 1 else ""
        target = parameter_at(match[2], int(match[3]))
        array = dataset.values(raw)
        if target is None:
            tensors[name] = array  # no canonical name; reported as unused
        elif prefix + target[0] in tensors:
            raise CheckpointError(f"tensor {target[0]} occurs twice")
        else:
            parameter = Parameter(target[0], array.shape, target[1])
            tensors[prefix.lstrip(".") + target[0]] = from_channels_last(parameter, array)
    if not tensors:
        raise CheckpointError(f"the HDF5 file has none of the groups {', '.join(NETWORK)} of a DANet")
    notes = [f"left out: {count} tensors of {top}, outside the network" for top, count in others.items()]
    return Contents(tensors=tensors, manifest=file.attributes.get(MANIFEST), notes=tuple(notes))


def write_weights(file: IO[bytes], checkpoint: Checkpoint, text: str | None = None) -> None:
    """Write the HDF5 file of a checkpoint, with the manifest `text`, into a file open for reading and writing.

    Raise CheckpointError for a dtype that Keras files cannot hold.
    """
    import h5py

    with h5py.File(file, "w", libver="earliest") as root:
        if text is not None:
            root.attrs[MANIFEST] = text
        for name, parameter in parameters(checkpoint.config).items():
            tensor = to_channels_last(parameter, checkpoint.tensors[name])
            if tensor.dtype not in (*DTYPES.values(), BFLOAT16):
                raise CheckpointError(f"Keras files cannot hold dtype {tensor.dtype}. Choose another with --dtype")
            path, number = group_of(parameter, checkpoint.config)
            variables = root.require_group(f"{path}/vars")
            variables.attrs["name"] = path.rpartition("/")[2]
            dataset = variables.create_dataset(str(number), data=tensor)
            if tensor.dtype == BFLOAT16:
                dataset.attrs["dtype"] = BFLOAT16_ATTRIBUTE


def left_out(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return lines about extra tensors, which a Keras file cannot hold."""
    return tuple(f"dropped: extra tensor {key}; Keras files hold the network only" for key in checkpoint.extra_tensors)
