"""Read and write `.keras`: a zip archive of config, weights and metadata.

`keras.saving.load_model` rebuilds the network after `import danet_tf`, and this module reads files that Keras
saved. The manifest is in `metadata.json`, beside the version of Keras.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from danet_common import Checkpoint, CheckpointError
from danet_common.checkpoint.canonical import manifest
from danet_common.files.atomic import Judge, always, atomic_file
from danet_common.files.strict_json import parse_json
from weights_convert.containers.source_file import SourceFile
from weights_convert.containers.zip_archive import Archive, Stream, write_archive
from weights_convert.contents import Contents
from weights_convert.formats.keras_hdf5 import left_out, read_weights, write_weights

NAME = "keras"
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
CLASS = {"module": "danet_tf.model", "class_name": "DANet", "registered_name": "danet>DANet"}
KERAS_VERSION = "3.15.1"  # version of this layout
MANIFEST = "danet"
CHUNK = 1 << 20  # bytes of the weights that are copied at once
NAMELESS = (
    "left out: the optimizer's moving averages (use_ema), which have no names; before the network is saved, "
    "model.optimizer.finalize_variable_values(model.trainable_variables) puts them in the place of the weights"
)


def recognises(source: SourceFile) -> bool:
    """True for a zip archive with Keras's records."""
    return CONFIG in source.records and WEIGHTS in source.records


def read(source: SourceFile) -> Contents:
    """Read tensors and config of a DANet, also inside another model. Raise CheckpointError if there is none."""
    archive = Archive(source.file)
    model, metadata = _json(archive, CONFIG), _json(archive, METADATA)
    networks, kind = _networks(model), model.get("class_name")
    other = CheckpointError(f"a Keras model of class {kind!r}, not 'DANet'")
    if type(kind) is not str:
        raise other
    try:
        contents = read_weights(archive.read(WEIGHTS))
    except CheckpointError as error:
        raise (error if networks else other) from None
    text = metadata.get(MANIFEST)
    contents.manifest = text if isinstance(text, str) else None
    if len(networks) == 1 and isinstance(networks[0], dict):
        contents.config = networks[0].get("config")
    contents.notes += (NAMELESS,) * (b'"use_ema": true' in archive.read(CONFIG).tobytes())
    return contents


def _networks(model: Any) -> list[Any]:
    """Return the configs of the different DANets in a model's config."""
    networks, waiting = [], [model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict) and value.get("registered_name") == CLASS["registered_name"]:
            networks += [value.get("config")] * (value.get("config") not in networks)
        elif isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
    return networks


def _json(archive: Archive, name: str) -> dict[str, Any]:
    try:
        content = parse_json(archive.read(name).tobytes())
    except ValueError as error:
        raise CheckpointError(f"record {name} is damaged ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"record {name} is damaged (no JSON object)")
    return content


def write(checkpoint: Checkpoint, path: Path, replace: Judge = always) -> tuple[str, ...]:
    """Write what `keras.saving.load_model(path)` reads."""
    network = Checkpoint(checkpoint.config, checkpoint.tensors, source=checkpoint.source)
    dtype = str(checkpoint.tensors["head.fused_classifier.weight"].dtype)
    model = {**CLASS, "config": {"config": checkpoint.config.to_dict(), "dtype": dtype}, "build_config": None}
    metadata = {"keras_version": KERAS_VERSION, MANIFEST: json.dumps(manifest(network))}
    with atomic_file(path, replace) as temporary, TemporaryFile(dir=temporary.parent) as weights:
        write_weights(weights, network)
        size = weights.seek(0, os.SEEK_END)
        weights.seek(0)
        chunks = iter(lambda: weights.read(CHUNK), b"")
        records = {METADATA: json.dumps(metadata).encode(), CONFIG: json.dumps(model).encode()}
        write_archive(temporary, [*records.items(), (WEIGHTS, Stream(size, chunks))])
    return left_out(checkpoint)
