"""Networks in the folder convention of the Hugging Face hub: config.json, model.safetensors and a model card."""

from __future__ import annotations

import os

from danet_common.checkpoint import Checkpoint
from danet_common.folding import require_unfolded
from danet_common.pretrained import open_pretrained, write_pretrained
from danet_tf.model import DANet, from_checkpoint
from danet_tf.parameters import get_tensors


def from_pretrained(name: str | os.PathLike[str], dtype: str = "float32", revision: str | None = None) -> DANet:
    """The network in a folder, or in a repository of the hub (`owner/name`), in inference mode.

    A folder needs no network connection; a repository needs huggingface_hub, and `revision` is its branch, tag
    or commit. Raises CheckpointError.
    """
    return from_checkpoint(open_pretrained(name, revision), dtype)


def save_pretrained(model: DANet, folder: str | os.PathLike[str], max_shard_bytes: int | None = None) -> None:
    """Write the network as a folder; with `max_shard_bytes`, its weights as files of at most that many bytes.

    Raises CheckpointError for a folded one.
    """
    require_unfolded(model.numerics)
    write_pretrained(Checkpoint(model.config, get_tensors(model), source={"backend": "tf"}), folder, max_shard_bytes)
