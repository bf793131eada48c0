"""Tell files that danet wrote from other projects' files of the same names, which are not replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from danet_common.checkpoint.canonical import CheckpointError, parse_manifest
from danet_common.checkpoint.safetensors_header import read_header
from danet_common.checkpoint.shards import INDEX_LIMIT, SHARD, is_index
from danet_common.files.regular_file import WEIGHTS, open_regular
from danet_common.files.strict_json import parse_json


def require_own(path: Path, is_own: Callable[[Path], bool]) -> None:
    """Raise CheckpointError unless `is_own` is true of a file, or the file is missing.

    Another writer may replace or remove the file meanwhile: then it is checked again.
    """
    before = _identity(path)
    while before is not None and not is_own(path):
        after = _identity(path)
        if after == before:
            raise CheckpointError(f"{path}: danet did not write it, and does not replace it; give another folder")
        before = after


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def has_manifest(path: Path) -> bool:
    """True if a `.safetensors` file has our manifest."""
    try:
        with open_regular(path, WEIGHTS) as file:
            parse_manifest(read_header(file)[0]["danet"])
    except (OSError, ValueError, KeyError):
        return False
    return True


def is_own_index(path: Path) -> bool:
    """True if an index has our manifest, or all files that it names have our manifest."""
    try:
        parse_manifest(parse_json(read_small(path))["metadata"]["danet"])
    except (OSError, ValueError, TypeError, KeyError):
        names = named_files(path)
        return bool(names) and all(has_manifest(path.parent / name) for name in names)
    return True


def named_files(index: Path) -> set[str]:
    """Return the names of the files that an index names; none for a file that is not an index."""
    try:
        return {name for name in parse_json(read_small(index))["weight_map"].values() if SHARD.fullmatch(name)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return set()


def read_small(path: Path) -> bytes:
    """Return the bytes of a JSON file of at most an index's size; b"" for any other file. Raises OSError."""
    with open_regular(path, WEIGHTS) as file:
        return file.read() if file.size <= INDEX_LIMIT.size and is_index(file) else b""
