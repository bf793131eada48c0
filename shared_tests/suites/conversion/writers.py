"""Every writer of a destination, in small, for tests that kill them, run several at once, or fill the disk.

What is written with a seed has that seed as every value, so a mixture of two is noticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

import weights_convert
from danet_common import VARIANTS, Checkpoint, parameters, write_pretrained, write_shards
from danet_common.data.image import write_mask
from danet_common.files.atomic import always, never
from weights_convert.containers.source_file import open_source
from weights_convert.formats import mxnet_file, pickle_file
from weights_convert.write import write_to

CONFIG = VARIANTS["danet_tiny"]
SHARD_BYTES, SHARDS = 60_000, 6
INDEX = "model.safetensors.index.json"
SHAPES = {name: parameter.shape for name, parameter in parameters(CONFIG).items()}


@dataclass(frozen=True)
class Writer:
    """One way to write.

    name   of the destination in its folder
    write  (seed, destination, force); raises CheckpointError or FileExistsError where `force` is needed
    """

    name: str
    write: Callable[[int, Path, bool], None]


def checkpoint(seed: int) -> Checkpoint:
    """A network whose every value is `seed`; its config, which does not change a shape, is of the seed too."""
    tensors = {name: np.full(shape, seed, np.float32) for name, shape in SHAPES.items()}
    counters = {name: np.asarray(seed, np.int64) for name in tensors if name.endswith("num_batches_tracked")}
    config = CONFIG.replace(multi_grid=(1, 1 + seed % 3))
    return Checkpoint(config, {**tensors, **counters}, source={"seed": seed})


def _converted(seed: int, path: Path, force: bool) -> None:
    write_to(checkpoint(seed), path, None, lambda line: None, force)


def _set(seed: int, path: Path, force: bool) -> None:
    write_shards(checkpoint(seed), path, SHARD_BYTES, always if force else never)


def _foreign(seed: int, path: Path, force: bool, write: Callable[..., None]) -> None:
    write({name: np.full(SHAPES[name], seed, np.float32) for name in weights()}, path, always if force else never)


def _mask(seed: int, path: Path, force: bool) -> None:
    write_mask(path, np.full((300, 300), seed, np.uint8), [(0, 0, 0)] * 256)


def _hub(seed: int, path: Path, force: bool, sharded: Callable[[int], bool]) -> None:
    write_pretrained(checkpoint(seed), path, SHARD_BYTES if sharded(seed) else None)


def weights() -> list[str]:
    """Names of the tensors that are convolutions' kernels: what every format can hold."""
    return [name for name, shape in SHAPES.items() if len(shape) == 4]


FORMATS = (".safetensors", ".pth", ".npz", ".keras", ".weights.h5", ".orbax")
CHOOSING: Mapping[str, Writer] = {  # between replacing and not
    **{ending: Writer(f"out{ending}", _converted) for ending in FORMATS},
    "set": Writer(INDEX, _set),
    ".pdparams": Writer("out.pdparams", partial(_foreign, write=pickle_file.write_foreign)),
    ".params": Writer("out.params", partial(_foreign, write=mxnet_file.write_foreign)),
}
WRITERS: Mapping[str, Writer] = {
    **CHOOSING,
    "mask": Writer("mask.png", _mask),
    "hub": Writer("hub", partial(_hub, sharded=lambda seed: False)),
    "hub set": Writer("hub", partial(_hub, sharded=lambda seed: True)),
    "hub either": Writer("hub", partial(_hub, sharded=lambda seed: seed % 2 == 0)),
}


def read_seed(path: Path) -> int:
    """The seed of what lies at a destination. Raises ValueError where that is not whole."""
    if path.suffix == ".png":
        from PIL import Image

        arrays = {"mask": np.asarray(Image.open(path))}
    elif path.suffix in (".pdparams", ".params"):
        read = pickle_file.read if path.suffix == ".pdparams" else mxnet_file.read
        with contextlib.closing(open_source(path)) as opened:
            arrays = {name: np.array(array) for name, array in read(opened).tensors.items()}
    else:
        arrays = dict(weights_convert.read(path).tensors)
    values = {float(value) for array in arrays.values() for value in (array.min(), array.max())}
    if len(values) != 1:
        raise ValueError(f"{path}: a mixture of {sorted(values)}")
    return int(values.pop())


def listing(folder: Path) -> list[str]:
    """Every file and folder below a folder; what an Orbax folder consists of only as that."""
    inner = [file.relative_to(folder) for file in folder.rglob("*")]
    return sorted(str(file) for file in inner if not any(part.endswith(".orbax") for part in file.parts[:-1]))
