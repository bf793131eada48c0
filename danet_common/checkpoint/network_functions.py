"""The functions between files and the networks of one package, the same in the three packages."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from danet_common.checkpoint import Checkpoint
from danet_common.checkpoint.network_file import open_network, write_network
from danet_common.checkpoint.pretrained import open_pretrained, write_pretrained
from danet_common.config.former_arguments import reject_renamed_arguments
from danet_common.config.layer_names import DEFAULT_LAYERS, require_trainable

Network = TypeVar("Network", bound=Any)


class NetworkFunctions(Generic[Network]):
    """Functions to load and save the networks of one package.

    backend      "torch", "tf" or "jax"
    build        makes a network of a checkpoint: (checkpoint, dtype, layers)
    get_tensors  canonical name -> array of a network
    """

    def __init__(
        self,
        backend: str,
        build: Callable[[Checkpoint, str, Any], Network],
        get_tensors: Callable[[Network], Mapping[str, np.ndarray]],
    ) -> None:
        self.backend = backend
        self.build = build
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
        require_trainable(model.layer_set, "saved")
        return Checkpoint(model.config, self.get_tensors(model), source={"backend": self.backend})
