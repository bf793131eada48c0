"""Find the files of a data set, and read lists of names."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from danet_common.data.dataset import DataError
from danet_common.files.regular_file import LIST, read_regular

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2", ".ppm", ".pgm",
)  # fmt: skip
SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx")  # beside names that begin with a dot


def require_split(title: str, split: str, known: Iterable[str]) -> None:
    """Raise DataError for an unknown split."""
    known = tuple(known)
    if split not in known:
        both = ("trainval",) * ({"train", "val"} <= {*known} and "trainval" not in known)
        raise DataError(f"{title}: there is no split {split!r}; there are {', '.join((*known, *both))}")


def first_path(title: str, root: Path, candidates: Sequence[str]) -> Path:
    """Return the first existing path of a folder. Raises DataError if there is none."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    for candidate in candidates:
        if (root / candidate).exists():
            return root / candidate
    raise DataError(f"{root}: no {title} data set: there is no {' or '.join(candidates)} in it")


def is_hidden(path: Path) -> bool:
    """True for hidden files and those of operating systems."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FILES


def files_below(folder: Path) -> list[Path]:
    """Return the sorted files of a folder and its subfolders, without hidden ones."""
    paths: list[Path] = []
    seen: set[tuple[int, int]] = set()  # a link may lead into a folder again
    for place, folders, files in os.walk(folder, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(Path(name)))
        paths += [Path(place, name) for name in files if not is_hidden(Path(name))]
    return sorted(paths)


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the sorted image files of a folder, without hidden ones."""
    images = (path for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_ENDINGS)
    return sorted(path for path in images if not is_hidden(path))


def names_in(path: Path) -> list[str]:
    """Return the names in a list file. A line may also be the paths of an image and its labels, as DrSleep has it."""
    return [Path(line.split()[0]).stem if "/" in line else line for line in lines_in(path)]


def lines_in(path: Path) -> list[str]:
    """Return the non-empty lines of a text file."""
    return [line.strip() for line in text_of(path).splitlines() if line.strip()]


def text_of(path: Path) -> str:
    """Return a text in UTF-8, or in UTF-16 with a byte order mark. Raises DataError."""
    try:
        content = read_regular(path, LIST)
        utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if utf_16 else "utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: not a readable list of names ({reason})") from None


def list_entries(path: Path) -> list[tuple[str, str | None]]:
    """Return the lines of a split's list: (name, None), or the paths of image and labels. Raises DataError."""
    entries: list[tuple[str, str | None]] = []
    for line in lines_in(path):
        words = [word.strip() for word in re.split(r"[\t,;]|\s+(?=\S*[/\\])", line) if word.strip()]
        if len(words) > 2:
            raise DataError(f"{path}: {line[:80]!r}: a line holds a name, or an image's path and a label file's")
        entries.append((words[0].replace("\\", "/"), words[1].replace("\\", "/") if len(words) == 2 else None))
    return entries
