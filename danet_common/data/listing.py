"""Finding the files of a data set: folders, lists of names, and pairs by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from danet_common.data.dataset import DataError
from danet_common.data.files import Pair
from danet_common.regular_file import LIST, read_text

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def require_split(title: str, split: str, known: Iterable[str]) -> None:
    """Raise DataError unless the data set has this split."""
    known = tuple(known)
    if split not in known:
        raise DataError(f"{title}: there is no split {split!r}; there are {', '.join(known)}")


def first_path(title: str, root: Path, candidates: Sequence[str]) -> Path:
    """The first that exists of these places in a folder. Raises DataError where none does."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    for candidate in candidates:
        if (root / candidate).exists():
            return root / candidate
    raise DataError(f"{root}: no {title} data set: there is no {' or '.join(candidates)} in it")


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The image files of a folder, by name; none of those that begin with a dot."""
    found = (path for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_ENDINGS)
    return sorted(path for path in found if not path.name.startswith("."))


def pairs_in(images: Path, labels: Path) -> list[Pair]:
    """The images of one folder, each with the PNG of its name in the other, whether that exists or not."""
    return [Pair(image, labels / f"{image.stem}.png") for image in images_in(images)]


def names_in(path: Path) -> list[str]:
    """The names in a list file, one a line. A line may also be two paths, image and label, as DrSleep's lists have."""
    return [Path(line.split()[0]).stem if "/" in line else line for line in lines_in(path)]


def lines_in(path: Path) -> list[str]:
    """The lines of a text file that are not empty, without the mark that Windows' editors begin UTF-8 with."""
    try:
        lines = read_text(path, LIST, "utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: not a readable list of names ({reason})") from None
    return [line.strip() for line in lines if line.strip()]
