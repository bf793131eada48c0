"""Canonical checkpoints: reading, writing, shards and folders."""

from danet_common.checkpoint.canonical import Checkpoint, CheckpointError, write_checkpoint

__all__ = ["Checkpoint", "CheckpointError", "write_checkpoint"]
