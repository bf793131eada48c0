"""Reject a destination whose replacement would destroy the source."""

from __future__ import annotations

import os
from pathlib import Path

from danet_common import CheckpointError
from danet_common.checkpoint.ownership import named_files
from danet_common.checkpoint.shard_writer import replaced_shards


def refuse_overlap(source: Path, destination: Path) -> None:
    """Raise CheckpointError if writing `destination` would replace or remove a file of `source`."""
    if not os.path.lexists(destination) or not source.exists():
        return
    src, dst = Path(os.path.realpath(source)), Path(os.path.realpath(destination))
    if src == dst or (dst.exists() and dst.samefile(src)):
        raise CheckpointError(f"{destination}: is the source itself. Choose another name")
    if src.is_dir() and dst.is_relative_to(src):
        raise CheckpointError(f"{destination}: is part of the source, {source}. Choose another name")
    files = {Path(os.path.realpath(source.parent / name)) for name in named_files(source)}
    if any(dst.exists() and file.exists() and dst.samefile(file) for file in files):
        raise CheckpointError(f"{destination}: is part of the source, {source}. Choose another name")
    if dst.is_dir() and any(file.is_relative_to(dst) for file in (src, *files)):
        raise CheckpointError(f"{destination}: contains the source, {source}. Choose another name")
    removed = {Path(os.path.realpath(destination.parent / name)) for name in replaced_shards(destination)}
    if not removed.isdisjoint({src, *files}):
        raise CheckpointError(f"{destination}: the source, {source}, is a file of this set. Choose another name")
