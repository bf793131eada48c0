"""List the files that Orbax writes, so that a folder with any other file is never replaced.

Source: the output of Orbax 0.11 and 0.12, with and without OCDBT, as zarr and zarr3; and the files of
TensorStore's drivers `ocdbt`, `zarr` and `zarr3`.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from danet_common import CheckpointError
from weights_convert.containers.orbax_tree import TREE

TRIES = 20  # another process may replace the folder during the check
ABOUT = r"_CHECKPOINT_METADATA|commit_success\.txt"
PROCESS = r"process_\d+"
DATABASE = rf"(ocdbt\.{PROCESS}/)?(manifest\.ocdbt|d/([0-9a-f]{{32}})?)"
CHUNK = r"(\d+(\.\d+)*|c)"
ARRAY_FILES = (".zarray", "zarr.json")
# Files of an item that is a tree, of one of its arrays, and of an item of another kind: JSON, metrics, ...
IN_TREE = re.compile(
    rf"{ABOUT}|{TREE}|_sharding|_strings\.json|checkpoint|array_metadatas/({PROCESS})?|ocdbt\.{PROCESS}/|{DATABASE}"
)
IN_ARRAY = re.compile(rf"([^/]+)/({CHUNK}/)*(\.zarray|\.zattrs|zarr\.json|{CHUNK}/?)")
IN_ITEM = re.compile(rf"[^/]+/({ABOUT}|metadata|metrics|descriptor\.pbtxt)")


class ForeignFileError(Exception):
    """Raised for a file that Orbax does not write."""


def require_only_orbax(path: Path) -> None:
    """Raise CheckpointError unless `path` is an empty folder, or an Orbax checkpoint and nothing else."""
    for attempt in range(TRIES):
        try:
            before = _version(path)
            _check(set(files_of(path)))
            return
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            raise CheckpointError(f"{path}: is a file, not a folder. Choose another name") from None
        except ForeignFileError as error:
            if attempt + 1 < TRIES and _version(path) != before:
                continue
            raise CheckpointError(f"{path}: not replaced: {error}. Choose another name") from None


def files_of(path: Path) -> Iterator[str]:
    """Yield the files below a folder by relative path, and its empty folders with a slash at the end.

    Raise ForeignFileError for links, which may lead out of the folder, and for special files. Orbax writes neither.
    """
    for entry in path.iterdir():
        mode = entry.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from [f"{entry.name}/{file}" for file in files_of(entry)] or [f"{entry.name}/"]
        elif stat.S_ISREG(mode):
            yield entry.name
        else:
            raise ForeignFileError(f"the folder contains {entry.name}, a link or special file; Orbax writes neither")


def _version(path: Path) -> tuple[int, int] | None:
    """Return inode and change time of the folder; None if it is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns


def _check(files: set[str]) -> None:
    """Raise ForeignFileError unless all files are of one checkpoint."""
    items = {file.partition("/")[0] + "/" for file in files}
    trees = ("",) if TREE in files else tuple(item for item in items if item + TREE in files)
    for file in files:
        tree = next((tree for tree in trees if file.startswith(tree)), None)
        if tree is None:
            known = bool(re.fullmatch(ABOUT, file) or IN_ITEM.fullmatch(file))
        else:
            within = file.removeprefix(tree)
            array = IN_ARRAY.fullmatch(within)
            is_array = array is not None and any(f"{tree}{array[1]}/{name}" in files for name in ARRAY_FILES)
            known = is_array or bool(IN_TREE.fullmatch(within))
        if not known:
            raise ForeignFileError(f"the folder contains {file}, which Orbax does not write")
    if files and not trees:
        raise ForeignFileError("the folder is not an Orbax checkpoint")
