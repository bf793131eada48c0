"""The functions between files and the networks of one package, the same in the three packages."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from danet_common.checkpoint import Checkpoint
from danet_common.checkpoint.network_file import open_network, write_network
from danet_common.checkpoint.pretrained import open_pretrained, write_pretrained
from danet_common.config import DANetConfig
from danet_common.config.former_arguments import reject_renamed_arguments
from danet_common.config.layer_names import DEFAULT_LAYERS, require_trainable
from danet_common.config.parameters import parameters

Network = TypeVar("Network", bound=Any)

CLASSIFIER = "head.fused_classifier"


class NetworkFunctions(Generic[Network]):
    """Functions to load and save the networks of one package.

    backend      "torch", "tf" or "jax"
    build        makes a network of a checkpoint: (checkpoint, dtype, layers)
    network_in   returns the network in a wrapper of it, or in a larger model
    get_tensors  canonical name -> array of a network
    """

    def __init__(
        self,
        backend: str,
        build: Callable[[Checkpoint, str, Any], Network],
        network_in: Callable[[Any], Network],
        get_tensors: Callable[[Network], Mapping[str, np.ndarray]],
    ) -> None:
        self.backend = backend
        self.build = build
        self.network_in = network_in
        self.get_tensors = get_tensors

    @reject_renamed_arguments
    def from_checkpoint(self, checkpoint: Checkpoint, dtype: str = "float32", layers: Any = DEFAULT_LAYERS) -> Network:
        """Return the network of a checkpoint, in inference mode.

        `layers` is a LayerSet or a name of `danet_common.config.layer_names`. Raises CheckpointError unless the tensors
        fit its config.
        """
        checkpoint.check()
        return self.build(checkpoint, dtype, layers)

    @reject_renamed_arguments
    def load(
        self,
        path: str | os.PathLike[str],
        dtype: str = "float32",
        layers: Any = DEFAULT_LAYERS,
        report: Callable[[str], None] | None = None,
        weights_key: str | None = None,
    ) -> Network:
        """Load the network of a file or folder of any format that `danet convert` reads, in inference mode.

        `layers` is that of `from_checkpoint`. `weights_key` names the weights to take of a file with several, such as
        "ema"; None: those that were trained. `report` receives each assumption about a file that is not canonical;
        without it the assumptions are a UserWarning. Raises CheckpointError for an incomplete or unknown file, and for
        a backbone without a head.
        """
        return self.from_checkpoint(open_network(path, report, weights_key), dtype, layers)

    def save(self, model: Network, path: str | os.PathLike[str]) -> None:
        """Write the network, atomically, in the format of the path's ending.

        `.safetensors`, `.safetensors.index.json`, `.pth`, `.pt`, `.pth.tar`, `.keras`, `.weights.h5`, `.orbax` or
        `.npz`. Raises CheckpointError for another ending, and for a network with `layers="cpu_inference"`.
        """
        write_network(self.to_checkpoint(model), path)

    @reject_renamed_arguments
    def from_pretrained(
        self,
        name: str | os.PathLike[str],
        dtype: str = "float32",
        revision: str | None = None,
        layers: Any = DEFAULT_LAYERS,
    ) -> Network:
        """Load the network in a folder, or in a repository of the hub (`owner/name`), in inference mode.

        A folder needs no network connection; a repository needs huggingface_hub, and `revision` is its branch, tag
        or commit. `layers` is that of `from_checkpoint`. Raises CheckpointError.
        """
        return self.from_checkpoint(open_pretrained(name, revision), dtype, layers)

    def save_pretrained(
        self, model: Network, folder: str | os.PathLike[str], max_shard_bytes: int | None = None
    ) -> None:
        """Write the network as a folder; with `max_shard_bytes`, its weights as files of at most that many bytes.

        Raises CheckpointError for a network with `layers="cpu_inference"`.
        """
        write_pretrained(self.to_checkpoint(model), folder, max_shard_bytes)

    def to_checkpoint(self, model: Network) -> Checkpoint:
        """Return the network as a checkpoint. Raises CheckpointError for one with `layers="cpu_inference"`."""
        network = self.network_in(model)
        require_trainable(network.layer_set, "saved")  # before any tensor is copied
        tensors = self.get_tensors(network)
        config = live_config(network, {name: tensor.shape for name, tensor in tensors.items()})
        kept = {name: tensor for name, tensor in tensors.items() if name not in left_out(network, config)}
        return Checkpoint(config, kept, source={"backend": self.backend})


def live_config(network: Any, shapes: Mapping[str, tuple[int, ...]]) -> DANetConfig:
    """Return the config of a live network; if a caller has replaced the classifier, with the classes of the new one.

    Outputs with another number of classes are left out, with a UserWarning.
    """
    config: DANetConfig = network.config
    classes = shapes.get(f"{CLASSIFIER}.bias", (config.num_classes,))[0]
    if classes == config.num_classes:
        return config
    config = config.replace(num_classes=classes, class_names=None, palette=None)
    table = parameters(config)
    differing = {name for name, shape in shapes.items() if name in table and tuple(shape) != table[name].shape}
    if any(name.startswith("head.") for name in differing):
        config = config.replace(branch_classifiers=False)
    if any(name.startswith("auxiliary.") for name in differing):
        config = config.replace(auxiliary="none")
    if names := left_out(network, config):
        warnings.warn(
            f"{CLASSIFIER} has {classes} classes, so these tensors are not saved: {', '.join(names)}", stacklevel=4
        )
    return config


def left_out(network: Any, config: DANetConfig) -> list[str]:
    """Return the names of a network's tensors that a network of another config does not have."""
    names = parameters(config)
    return [name for name in parameters(network.config) if name not in names]
