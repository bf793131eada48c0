"""Folders in the convention of the Hugging Face hub: read here, written by `save_pretrained` of a network."""

from __future__ import annotations

from pathlib import Path

from danet_common import CheckpointError
from danet_common.checkpoint import parse_manifest
from danet_common.pretrained import CONFIG, read_config, weights_file
from danet_common.shards import is_index
from danet_common.stored import require_same
from weights_convert.contents import Contents
from weights_convert.formats import safetensors_file, safetensors_index

NAME = "pretrained folder"
DIRECTORY = True


def recognises(path: Path, start: bytes, records: list[str]) -> bool:
    """Whether this is a directory with weights under the hub's names."""
    return path.is_dir() and weights_file(path) is not None


def read(path: Path) -> Contents:
    """Read every tensor, and the config. Raises CheckpointError where anything is damaged or contradicts itself."""
    weights = weights_file(path)
    assert weights is not None
    contents = safetensors_index.read(weights) if is_index(weights) else safetensors_file.read(weights)
    if not (path / CONFIG).exists():
        return contents
    try:
        config = read_config(path / CONFIG)
    except CheckpointError as error:
        if contents.manifest is not None:
            raise
        contents.notes = (f"left out: {error}",)  # another library's network; its tensors may be of a known schema
        return contents
    if contents.manifest is None:
        contents.config = config.to_dict()
    else:
        require_same(weights, parse_manifest(contents.manifest)[0], config)
    return contents
