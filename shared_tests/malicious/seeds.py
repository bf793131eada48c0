"""Small valid files of every format that is read: what malicious and mutated files are made from."""

from __future__ import annotations

import functools
import io
import json
import pickle
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import weights_convert
from danet_common import Checkpoint, DANetConfig
from danet_common.checkpoint.pretrained import write_pretrained
from shared_tests.fixtures.synthetic import synthetic_tensors
from weights_convert.containers.pickle_writer import write_pickle
from weights_convert.containers.torch_container import LEGACY_START
from weights_convert.containers.zip_archive import raw_bytes
from weights_convert.formats import pickle_file
from weights_convert.formats.flax_tree import to_leaves
from weights_convert.schemas import layouts_of

CONFIG = DANetConfig(
    block="basic",
    layers=(1, 1, 1, 1),
    widths=(1, 1, 1, 1),
    stem_widths=(1,),
    head_channels=1,
    query_channels=1,
    num_classes=2,
)


@functools.cache
def checkpoint(config: DANetConfig = CONFIG) -> Checkpoint:
    """The smallest network that has every kind of tensor."""
    return Checkpoint(config, synthetic_tensors(config))


def written(schema: str = "canonical") -> Callable[[Path], None]:
    """Return how this package writes a seed, with the fields that all networks of the upstream project have."""
    fixed_config = layouts_of(schema)[0].fixed_config
    config = CONFIG.replace(stem_widths=(1,) * (3 if fixed_config.get("stem") == "deep" else 1), **fixed_config)
    return lambda path: weights_convert.write(checkpoint(config), path, None if schema == "canonical" else schema)


def legacy_torch(value: Mapping[str, Any]) -> bytes:
    """torch's container before 1.6."""
    pickled, arrays = write_pickle(value)
    keys = [str(index) for index in range(len(arrays))]
    head = [LEGACY_START + b".", pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    storages = [struct.pack("<q", array.size) + bytes(raw_bytes(array)) for array in arrays]
    return b"".join([*head, pickled, pickle.dumps(keys, 2), *storages])


def msgpack(value: Any) -> bytes:
    """A tree in msgpack as Flax writes it."""
    if isinstance(value, Mapping):
        return b"\xdf" + struct.pack(">I", len(value)) + b"".join(msgpack(k) + msgpack(v) for k, v in value.items())
    if isinstance(value, str):
        raw = value.encode()
        return b"\xdb" + struct.pack(">I", len(raw)) + raw
    if isinstance(value, np.ndarray):
        shape = b"\xdd" + struct.pack(">I", value.ndim) + b"".join(b"\xce" + struct.pack(">I", n) for n in value.shape)
        raw = value.tobytes()
        return extension(1, b"\x93" + shape + msgpack(value.dtype.name) + b"\xc6" + struct.pack(">I", len(raw)) + raw)
    raise TypeError(type(value).__name__)


def extension(code: int, data: bytes) -> bytes:
    """An extension of msgpack with a length of 32 bits."""
    return b"\xc9" + struct.pack(">Ib", len(data), code) + data


def tree() -> dict[str, Any]:
    """The Flax tree of the seed network."""
    result: dict[str, Any] = {}
    for (*path, leaf), array in to_leaves(CONFIG, checkpoint().tensors).items():
        branch = result
        for part in path:
            branch = branch.setdefault(part, {})
        branch[leaf] = array
    return result


# Name -> how to write it; the ending is the name's, from its first dot.
SEEDS: Mapping[str, Callable[[Path], Any]] = {
    "canonical.safetensors": written(),
    "official.safetensors": written("official"),
    "canonical.pth": written(),
    "official.pth": written("official"),
    "legacy.pth": lambda path: path.write_bytes(legacy_torch({"state_dict": checkpoint().tensors})),
    "canonical.npz": written(),
    "canonical.keras": written(),
    "canonical.weights.h5": written(),
    "flax.msgpack": lambda path: path.write_bytes(msgpack(tree())),
    "canonical.orbax": written(),
    "sharded.safetensors.index.json": written(),
    "pickle.pdparams": lambda path: pickle_file.write_foreign(checkpoint().tensors, path),
    "gluoncv.params": written("gluoncv"),
    "mmseg.pth": written("mmseg"),
    "hub.folder": lambda path: write_pretrained(checkpoint(), path),
}


def write_seeds(folder: Path) -> dict[str, Path]:
    """Every seed whose format and schema are there, each in a folder of its own, by name."""
    paths = {}
    for name, write in SEEDS.items():
        path = folder / name.replace(".", "_") / name
        path.parent.mkdir(parents=True)
        write(path)
        weights_convert.read(path)
        paths[name] = path
    return paths


@functools.cache
def seed_bytes(name: str) -> bytes:
    """A seed's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        SEEDS[name](path)
        return path.read_bytes()


def extract(name: str) -> tuple[dict[str, Any], bytes]:
    """A safetensors seed's header without the metadata, and its data."""
    raw = seed_bytes(name)
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    return header, raw[8 + size :]


def tensors_only(kind: str) -> dict[str, bytes]:
    """Records of the NumPy or Keras seed that hold tensors."""
    with zipfile.ZipFile(io.BytesIO(seed_bytes(f"canonical.{kind}"))) as file:
        return {name: file.read(name) for name in file.namelist() if name.endswith((".h5", "weight.npy", "var.npy"))}
