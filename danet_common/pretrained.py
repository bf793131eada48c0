"""The folder convention of the Hugging Face hub: config.json, the weights, and README.md, the model card.

The weights are `model.safetensors`, or a set of files with `model.safetensors.index.json`; both hold the
canonical manifest, config and hashes with it, and config.json says the config again for people and tools.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from danet_common.atomic import atomic_directory, atomic_file
from danet_common.checkpoint import FORMAT_VERSION, Checkpoint, CheckpointError, write_checkpoint
from danet_common.config import DANetConfig
from danet_common.model_card import model_card
from danet_common.shards import remove_shards, write_shards
from danet_common.stored import StoredCheckpoint, open_checkpoint
from danet_common.strict_json import parse_json

CONFIG, CARD = "config.json", "README.md"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
MODEL_TYPE = "danet"
FETCHED = (CONFIG, CARD, "model*.safetensors", INDEX)  # of a repository; nothing else in it is ours
REPOSITORY = re.compile(r"[a-z0-9][\w.-]*/[a-z0-9][\w.-]*", re.ASCII | re.IGNORECASE)


def weights_file(folder: Path) -> Path | None:
    """The file, or the index, of the weights in a folder; None where it has none."""
    return next((folder / name for name in (WEIGHTS, INDEX) if (folder / name).is_file()), None)


def open_pretrained(name: str | os.PathLike[str], revision: str | None = None) -> StoredCheckpoint:
    """The checkpoint in a folder, or in a repository of the hub (`owner/name`) at a revision, opened.

    Raises CheckpointError where there is none or it is not whole, and where config.json and the manifest of
    the weights say different things.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = fetch(os.fspath(name), revision)
    weights = weights_file(folder)
    if weights is None:
        raise CheckpointError(f"{folder}: a folder without {WEIGHTS} or {INDEX}")
    return open_checkpoint(weights, read_config(folder / CONFIG) if (folder / CONFIG).exists() else None)


def read_config(path: Path) -> DANetConfig:
    """The config of a config.json. Raises CheckpointError where it is damaged or another network's."""
    try:
        fields = parse_json(path.read_bytes())
        kind, version = fields.pop("model_type"), fields.pop("format_version")
        if kind != MODEL_TYPE:
            raise CheckpointError(f"{path}: of model_type {kind!r}, not {MODEL_TYPE!r}: another network's")
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{path}: format_version is {version}; this danet reads {FORMAT_VERSION}")
        return DANetConfig.from_dict(fields)
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: no config of a DANet ({error})") from None


def fetch(repository: str, revision: str | None) -> Path:
    """Download a repository's files, or find them in the hub's cache; the folder where they lie."""
    if not REPOSITORY.fullmatch(repository):
        raise CheckpointError(f"{repository}: no such folder, and no repository of the hub, which is owner/name")
    try:
        import huggingface_hub
    except ImportError:
        raise CheckpointError(
            f"{repository}: no such folder; to fetch it from the hub, pip install huggingface_hub"
        ) from None
    try:
        return Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=list(FETCHED)))
    except Exception as error:  # the network's, the hub's and the disk's, of many kinds
        raise CheckpointError(f"{repository}: cannot be fetched from the hub: {error}") from None


def write_pretrained(
    checkpoint: Checkpoint, folder: str | os.PathLike[str], max_shard_bytes: int | None = None
) -> None:
    """Write a folder; with `max_shard_bytes`, the weights as a set of files of at most that many bytes.

    A new folder appears whole or not at all. In an existing one each file is replaced whole, other files and
    a README.md are left as they are. Raises CheckpointError if the tensors do not fit.
    """
    checkpoint.check()
    target = Path(folder)
    fields = {"model_type": MODEL_TYPE, "format_version": FORMAT_VERSION, **checkpoint.config.to_dict()}
    with _directory(target) as place:
        with atomic_file(place / CONFIG) as temporary:  # takes its place right after the weights have
            temporary.write_text(json.dumps(fields, indent=2) + "\n")
            if max_shard_bytes is None:
                write_checkpoint(checkpoint, place / WEIGHTS)
                remove_shards(place / INDEX, but=place / WEIGHTS)
            else:
                write_shards(checkpoint, place / INDEX, max_shard_bytes)
                (place / WEIGHTS).unlink(missing_ok=True)  # it would be read first
        if not (place / CARD).exists():  # a person may have written there
            with atomic_file(place / CARD) as temporary:
                temporary.write_text(model_card(checkpoint, target.resolve().name), encoding="utf-8")


@contextmanager
def _directory(target: Path) -> Iterator[Path]:
    """The folder if it is there; else one that takes its place when all is written."""
    if target.is_dir():
        yield target
        return
    with atomic_directory(target) as temporary:
        temporary.mkdir()
        yield temporary
