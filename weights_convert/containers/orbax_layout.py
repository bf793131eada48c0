"""List the files that Orbax writes, so that a folder with any other file is never replaced.

Source: the output of Orbax 0.11 and 0.12, with and without OCDBT, as zarr and zarr3; and the files of
TensorStore's drivers `ocdbt`, `zarr` and `zarr3`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from danet_common import CheckpointError
from weights_convert.containers.orbax_tree import TREE

TRIES = 20  # another process may replace the folder during the check
ABOUT = {"_CHECKPOINT_METADATA", "commit_success.txt"}
ITEM_FILES = {*ABOUT, "metadata", "metrics", "descriptor.pbtxt"}  # files of an item that is not a tree: JSON, ...
TREE_FILES = {*ABOUT, TREE, "_sharding", "_strings.json", "manifest.ocdbt", "checkpoint"}
ARRAY_FILES = {".zarray", ".zattrs", "zarr.json"}
DATA = re.compile(r"[0-9a-f]{32}")  # a data file of OCDBT
PROCESS = re.compile(r"process_\d+")
CHUNK = re.compile(r"\d+(\.\d+)*|c")


class _Foreign(Exception):
    """Raised for an entry that Orbax does not write."""


def require_only_orbax(path: Path) -> None:
    """Raise CheckpointError unless `path` is an empty folder, or an Orbax checkpoint and nothing else."""
    for attempt in range(TRIES):
        try:
            before = _version(path)
            _check(path)
            return
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            raise CheckpointError(f"{path}: is a file, not a folder. Choose another name") from None
        except _Foreign as error:
            if attempt + 1 < TRIES and _version(path) != before:
                continue
            raise CheckpointError(f"{path}: not replaced: {error}. Choose another name") from None


def _version(path: Path) -> tuple[int, int] | None:
    """Return inode and change time of the folder; None if it is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns


def _check(path: Path) -> None:
    entries = _entries(path)
    if not entries:
        return
    if TREE in entries:
        _tree(path, "")
        return
    trees = [name for name, is_folder in entries.items() if is_folder and TREE in _entries(path / name)]
    for name, is_folder in entries.items():
        if not is_folder:
            _require(name in ABOUT, "", name)
        elif name in trees:
            _tree(path / name, f"{name}/")
        else:
            _require(bool(_entries(path / name)), "", name)
            _files(path / name, f"{name}/", ITEM_FILES.__contains__)
    if not trees:
        raise _Foreign("the folder is not an Orbax checkpoint")


def _tree(path: Path, within: str) -> None:
    """Check a tree: metadata, and an OCDBT database or one folder for each array."""
    for name, is_folder in _entries(path).items():
        inner = f"{within}{name}/"
        if not is_folder:
            _require(name in TREE_FILES, within, name)
        elif not ARRAY_FILES.isdisjoint(_entries(path / name)):
            _array(path / name, inner)
        elif name == "array_metadatas":
            _files(path / name, inner, PROCESS.fullmatch)
        elif name == "d":
            _files(path / name, inner, DATA.fullmatch)
        else:
            _require(name.startswith("ocdbt.") and bool(PROCESS.fullmatch(name[6:])), within, name)
            _database(path / name, inner)


def _database(path: Path, within: str) -> None:
    """Check the part of an OCDBT database that one process wrote."""
    for name, is_folder in _entries(path).items():
        _require(name == ("d" if is_folder else "manifest.ocdbt"), within, name)
        if is_folder:
            _files(path / name, f"{within}{name}/", DATA.fullmatch)


def _array(path: Path, within: str) -> None:
    """Check a zarr array: metadata and chunks; chunks may lie in folders by index."""
    for name, is_folder in _entries(path).items():
        _require(bool(CHUNK.fullmatch(name)) or (name in ARRAY_FILES and not is_folder), within, name)
        if is_folder:
            _array(path / name, f"{within}{name}/")


def _files(path: Path, within: str, known: Callable[[str], object]) -> None:
    for name, is_folder in _entries(path).items():
        _require(not is_folder and bool(known(name)), within, name)


def _require(known: bool, within: str, name: str) -> None:
    if not known:
        raise _Foreign(f"the folder contains {within}{name}, which Orbax does not write")


def _entries(path: Path) -> dict[str, bool]:
    """Return name -> is folder. Raise _Foreign for links and special files, which Orbax never writes."""
    found = {}
    with os.scandir(path) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not entry.is_file(follow_symlinks=False):
                raise _Foreign(f"the folder contains {entry.name}, a link or special file; Orbax writes neither")
            found[entry.name] = is_folder
    return found
