"""Read and write `.weights.h5`, the format of `keras.Model.save_weights`."""

from __future__ import annotations

import json
from pathlib import Path

from danet_common import Checkpoint
from danet_common.checkpoint.canonical import manifest
from danet_common.files.atomic import Judge, always, atomic_file
from weights_convert.containers.hdf5_reader import SIGNATURE
from weights_convert.containers.source_file import SourceFile
from weights_convert.contents import Contents
from weights_convert.formats.keras_hdf5 import left_out, read_weights, write_weights

NAME = "keras weights"


def recognises(source: SourceFile) -> bool:
    """True for an HDF5 file."""
    return source.start.startswith(SIGNATURE)


def read(source: SourceFile) -> Contents:
    """Read every tensor of the network."""
    return read_weights(source.data)


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write a file for `model.load_weights(path)`, with the manifest as an attribute of the root group."""
    network = Checkpoint(checkpoint.config, checkpoint.tensors, source=checkpoint.source)
    with atomic_file(path, replace) as temporary, temporary.open("w+b") as file:
        write_weights(file, network, json.dumps(manifest(network)))
    return left_out(checkpoint)
