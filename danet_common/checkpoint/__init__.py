"""Canonical checkpoints: reading, writing, shards and folders."""

from danet_common.checkpoint.canonical import (
    EXTRA_TENSOR,
    FORMAT_VERSION,
    LARGEST_SOURCE,
    LONGEST_NAME,
    Checkpoint,
    CheckpointError,
    check_total,
    hash_tensors,
    manifest,
    on_disk,
    parse_manifest,
    require_name,
    verify_hashes,
    write_checkpoint,
)

__all__ = [
    "EXTRA_TENSOR",
    "FORMAT_VERSION",
    "LARGEST_SOURCE",
    "LONGEST_NAME",
    "Checkpoint",
    "CheckpointError",
    "check_total",
    "hash_tensors",
    "manifest",
    "on_disk",
    "parse_manifest",
    "require_name",
    "verify_hashes",
    "write_checkpoint",
]
