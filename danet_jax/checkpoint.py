"""Networks from and to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np

from danet_common.checkpoint import Checkpoint
from danet_common.checkpoint.network_file import open_network, write_network
from danet_common.checkpoint.pretrained import open_pretrained, write_pretrained
from danet_common.config.former_arguments import rejects_former
from danet_common.config.layer_names import DEFAULT_LAYERS, require_trainable
from danet_common.numerics.folding import FoldedTensors
from danet_jax.accelerated.abstract import abstract_network
from danet_jax.layers import LayerSet
from danet_jax.model import DANet
from danet_jax.parameters import get_tensors, set_tensors


@rejects_former
def from_checkpoint(checkpoint: Checkpoint, dtype: str = "float32", layers: LayerSet | str = DEFAULT_LAYERS) -> DANet:
    """The network of a checkpoint, in inference mode.

    `layers` is a LayerSet or a name of `danet_common.config.layer_names`. Raises CheckpointError unless the tensors
    fit its config.
    """
    checkpoint.check()
    model = abstract_network(checkpoint.config, dtype, layers)
    set_tensors(model, tensors_for(model.layer_set, checkpoint))
    model.eval()
    return model


def tensors_for(layers: LayerSet, checkpoint: Checkpoint) -> Mapping[str, np.ndarray]:
    """The tensors of a checkpoint as a layer set holds them: of layers that cannot be trained, without BatchNorm's."""
    return checkpoint.tensors if layers.trainable else FoldedTensors(checkpoint, layers.precision.accumulate_dtype)


@rejects_former
def load(
    path: str | os.PathLike[str],
    dtype: str = "float32",
    layers: LayerSet | str = DEFAULT_LAYERS,
    report: Callable[[str], None] | None = None,
    weights_key: str | None = None,
) -> DANet:
    """The network of a file or folder of any format that `danet convert` reads, as `from_checkpoint` makes it.

    `weights_key` says which weights to take of a file with several, such as "ema"; None: those that were trained.
    `report` is called with each line about what was assumed of a file that is not canonical; without it these lines
    are a UserWarning. Raises CheckpointError where the file cannot be read whole, and for a backbone without a head.
    """
    return from_checkpoint(open_network(path, report, weights_key), dtype, layers)


def save(model: DANet, path: str | os.PathLike[str]) -> None:
    """Write the network, atomically, in the format of the path's ending.

    `.safetensors`, `.safetensors.index.json`, `.pth`, `.pt`, `.pth.tar`, `.keras`, `.weights.h5`, `.orbax` or `.npz`.
    Raises CheckpointError for another ending, and for a network with `layers="cpu_inference"`.
    """
    write_network(to_checkpoint(model), path)


@rejects_former
def from_pretrained(
    name: str | os.PathLike[str],
    dtype: str = "float32",
    revision: str | None = None,
    layers: LayerSet | str = DEFAULT_LAYERS,
) -> DANet:
    """The network in a folder, or in a repository of the hub (`owner/name`), as `from_checkpoint` makes it.

    A folder needs no network connection; a repository needs huggingface_hub, and `revision` is its branch, tag
    or commit. Raises CheckpointError.
    """
    return from_checkpoint(open_pretrained(name, revision), dtype, layers)


def save_pretrained(model: DANet, folder: str | os.PathLike[str], max_shard_bytes: int | None = None) -> None:
    """Write the network as a folder; with `max_shard_bytes`, its weights as files of at most that many bytes.

    Raises CheckpointError for a network with `layers="cpu_inference"`.
    """
    write_pretrained(to_checkpoint(model), folder, max_shard_bytes)


def to_checkpoint(model: DANet) -> Checkpoint:
    """The network as a checkpoint. Raises CheckpointError for a network with `layers="cpu_inference"`."""
    require_trainable(model.layer_set, "saved")
    return Checkpoint(model.config, get_tensors(model), source={"backend": "jax"})
