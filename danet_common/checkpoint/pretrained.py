"""The folder convention of the Hugging Face hub: config.json, the weights, and README.md, the model card.

The weights are `model.safetensors`, or a set of files with `model.safetensors.index.json`. Both hold the canonical
manifest; config.json repeats its config for people and tools.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from danet_common.checkpoint.canonical import (
    FORMAT_VERSION,
    Checkpoint,
    CheckpointError,
    parse_manifest,
    write_checkpoint,
)
from danet_common.checkpoint.lazy import (
    ContradictionError,
    Stored,
    StoredCheckpoint,
    checkpoint_in,
    open_checkpoint,
    open_stored,
    require_same,
)
from danet_common.checkpoint.model_card import model_card
from danet_common.checkpoint.ownership import has_manifest, is_own_index, named_files, require_own
from danet_common.checkpoint.run_weights import is_run
from danet_common.checkpoint.shard_writer import PreparedSet, place_shards, prepare_set, remove_unnamed
from danet_common.checkpoint.unchanged import read_unchanged
from danet_common.config import DANetConfig
from danet_common.files.atomic import always, atomic_directory, naming, never, permissions, place_file
from danet_common.files.locks import locked_folder
from danet_common.files.regular_file import SETTINGS, read_regular
from danet_common.files.strict_json import parse_json
from danet_common.files.temporary import folder_part, remove_leftovers
from danet_common.files.unfinished import uninterrupted

CONFIG, CARD = "config.json", "README.md"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
MODEL_TYPE = "danet"
FETCHED = (CONFIG, CARD, "model*.safetensors", INDEX)  # of a repository
CONTRADICTION_SECONDS = 0.5  # a writer replaces config.json within milliseconds of the weights
REPOSITORY = re.compile(r"[a-z0-9][\w.-]*/[a-z0-9][\w.-]*", re.ASCII | re.IGNORECASE)


class FolderFiles(NamedTuple):
    """A folder's weights, open, and its config.json; `error` says why that is not the config of a DANet."""

    weights: Path
    stored: Stored
    config: DANetConfig | None
    error: CheckpointError | None


def weights_file(folder: Path) -> Path | None:
    """Return the file, or the index, of the weights in a folder; None where it has none."""
    return next((folder / name for name in (WEIGHTS, INDEX) if (folder / name).is_file()), None)


def open_pretrained(name: str | os.PathLike[str], revision: str | None = None) -> StoredCheckpoint:
    """Open the checkpoint in a folder, or in a repository of the hub (`owner/name`) at a revision.

    Raises CheckpointError where it is missing or not complete, and where config.json and the manifest differ.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = fetch(os.fspath(name), revision)
    if weights_file(folder) is None and is_run(folder):
        return open_checkpoint(folder)
    return pretrained_checkpoint(open_folder(folder))


def pretrained_checkpoint(files: FolderFiles) -> StoredCheckpoint:
    """Return the checkpoint in an open folder. Raises CheckpointError as `open_pretrained` does."""
    if files.error is not None:
        raise files.error
    return checkpoint_in(files.weights, files.stored, files.config)


def open_folder(folder: Path) -> FolderFiles:
    """Open a folder's weights and read its config.json, both of the same writer.

    Raises CheckpointError where either is damaged, and where they differ for half a second: a writer replaces one after
    the other.
    """
    until = time.monotonic() + CONTRADICTION_SECONDS
    while True:
        try:
            return read_unchanged([folder / name for name in (CONFIG, WEIGHTS, INDEX)], lambda: _open_files(folder))
        except ContradictionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _open_files(folder: Path) -> FolderFiles:
    weights = weights_file(folder)
    if weights is None:
        raise CheckpointError(f"{folder}: a folder without {WEIGHTS} or {INDEX}, and not a run's folder")
    stored = open_stored(weights)
    if not os.path.lexists(folder / CONFIG):
        return FolderFiles(weights, stored, None, None)
    try:
        config = read_config(folder / CONFIG)
    except CheckpointError as error:
        return FolderFiles(weights, stored, None, error)
    if stored.manifest is not None:
        require_same(weights, parse_manifest(stored.manifest)[0], config)
    return FolderFiles(weights, stored, config, None)


def read_config(path: Path) -> DANetConfig:
    """Return the config of a config.json. Raises CheckpointError where it is damaged or another network's."""
    try:
        fields = parse_json(read_regular(path, SETTINGS))
        kind, version = fields.pop("model_type"), fields.pop("format_version")
        if kind != MODEL_TYPE:
            raise CheckpointError(f"{path}: of model_type {kind!r}, not {MODEL_TYPE!r}: another network's")
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{path}: format_version is {version}; this danet reads {FORMAT_VERSION}")
        return DANetConfig.from_dict(fields)
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: no config of a DANet ({reason})") from None


def fetch(repository: str, revision: str | None) -> Path:
    """Download a repository's files, or take them from the hub's cache; return their folder."""
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
    except Exception as error:  # of many kinds: the network's, the hub's and the disk's
        raise CheckpointError(f"{repository}: cannot be fetched from the hub: {error}") from None


def write_pretrained(
    checkpoint: Checkpoint, folder: str | os.PathLike[str], max_shard_bytes: int | None = None
) -> None:
    """Write a folder; with `max_shard_bytes`, the weights as a set of files of at most that many bytes.

    A new folder appears complete or not at all. In an existing folder the files are replaced when all are written;
    other files and a README.md stay. Raises CheckpointError if the tensors do not fit, and where the folder holds
    another project's config or weights under the names of ours.
    """
    checkpoint.check()
    target = Path(os.path.realpath(folder))
    while not target.is_dir():
        if os.path.lexists(target):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
        try:
            with atomic_directory(target, never) as temporary:
                temporary.mkdir()
                _write_files(checkpoint, temporary, target.name, max_shard_bytes, permissions(target / WEIGHTS, 0o666))
            return
        except FileExistsError:  # another process made the folder meanwhile
            continue
    remove_leftovers(target)
    _update(checkpoint, target, max_shard_bytes)


def _update(checkpoint: Checkpoint, folder: Path, max_shard_bytes: int | None) -> None:
    """Replace the files in a folder, when all new ones are written beside them."""
    sharded = max_shard_bytes is not None
    _require_own_files(folder, sharded)
    mode = permissions(weights_file(folder) or folder / WEIGHTS, 0o666)
    with naming(folder), folder_part(folder / WEIGHTS) as place:
        with naming(folder, place):
            files = _write_files(checkpoint, place, folder.name, max_shard_bytes, mode)
        with naming(folder), locked_folder(folder), uninterrupted():
            _require_own_files(folder, sharded)
            _exchange_files(place, folder, files)


def _write_files(
    checkpoint: Checkpoint, place: Path, name: str, max_shard_bytes: int | None, mode: int
) -> PreparedSet | None:
    """Write all files of a folder into `place`; return the set of weights, if they are a set."""
    fields = {"model_type": MODEL_TYPE, "format_version": FORMAT_VERSION, **checkpoint.config.to_dict()}
    (place / CONFIG).write_text(json.dumps(fields, indent=2) + "\n")
    (place / CARD).write_text(model_card(checkpoint, name), encoding="utf-8")
    if max_shard_bytes is not None:
        return prepare_set(checkpoint, place, INDEX, max_shard_bytes, mode)
    write_checkpoint(checkpoint, place / WEIGHTS)
    (place / WEIGHTS).chmod(mode)
    return None


def _exchange_files(place: Path, folder: Path, files: PreparedSet | None) -> None:
    """Move new files into the folder and remove those that they replace.

    Between any two steps the folder holds the old network or the new one, complete: a config that differs is moved
    away while the weights, which have their own, are exchanged.
    """
    aside = place / "config.old"
    new = WEIGHTS if files is None else INDEX
    placed = [] if files is None else place_shards(files, folder)
    try:
        if (folder / CONFIG).exists() and read_regular(folder / CONFIG, SETTINGS) != (place / CONFIG).read_bytes():
            place_file(folder / CONFIG, aside, always)
        place_file(place / new, folder / new, always)
    except BaseException:
        if aside.exists():
            place_file(aside, folder / CONFIG, always)
        for file in placed:
            file.unlink(missing_ok=True)
        raise
    if files is not None:
        (folder / WEIGHTS).unlink(missing_ok=True)  # it would be read first
    place_file(place / CONFIG, folder / CONFIG, always)
    if files is None:
        (folder / INDEX).unlink(missing_ok=True)
    remove_unnamed(folder / INDEX)
    with contextlib.suppress(FileExistsError):  # a person may have written there
        place_file(place / CARD, folder / CARD, never)


def _require_own_files(folder: Path, sharded: bool) -> None:
    """Raise CheckpointError where files of other projects have the names of ours, or another index needs ours."""
    for name, is_own in ((CONFIG, _is_own_config), (WEIGHTS, has_manifest), (INDEX, is_own_index)):
        if os.path.lexists(folder / name):
            require_own(folder / name, is_own)
    for file in folder.glob("*.json"):
        if sharded and file.name not in (CONFIG, INDEX) and WEIGHTS in named_files(file):
            raise CheckpointError(
                f"{folder / WEIGHTS}: {file.name} names it, so it is not removed; give another folder"
            )


def _is_own_config(path: Path) -> bool:
    try:
        return bool(parse_json(read_regular(path, SETTINGS)).get("model_type") == MODEL_TYPE)
    except (OSError, ValueError, AttributeError):
        return False
