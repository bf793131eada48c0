"""Pair images and label files by their names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from danet_common.data.dataset import DataError
from danet_common.data.files import Pair
from danet_common.data.listing import IMAGE_ENDINGS, files_below
from danet_common.text import pluralise

LABEL_ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm")
SHOWN = 3


@dataclass(frozen=True)
class Pairing:
    """Pairs in the order of the images, and messages on files without a pair."""

    pairs: list[Pair]
    messages: list[str]


def pair_files(images: Path, labels: Path, keep: Sequence[str] | None = None) -> Pairing:
    """Pair every image in a folder and its subfolders with the label file at the same place in the label folder.

    A label file has the image's name, or that name and a suffix which is the same for all: `a_mask.png`.

    keep  names of the images to use, without ending; None: all

    Raises DataError if an image has several label files, or an image of an unsupported format has one.
    """
    files = files_below(images)
    if images in labels.parents:
        files = [path for path in files if labels not in path.parents]
    pictures = [path for path in files if path.suffix.lower() in IMAGE_ENDINGS]
    left_out = [path for path in files if path.suffix.lower() not in IMAGE_ENDINGS]
    names = {path: _name(path, images) for path in pictures}
    if keep is not None:
        pictures = _listed(pictures, names, keep, images)
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for path in files_below(labels):
        if images != labels or path not in names:
            by_name[_name(path, labels)].append(path)
    suffix = _suffix([names[path] for path in pictures], by_name, labels)
    pairs = [Pair(path, _label_file(path, names[path] + suffix, by_name, labels), names[path]) for path in pictures]
    label_files = [path for paths in by_name.values() for path in paths]
    used = {pair.labels for pair in pairs}
    if label_files and pairs and used.isdisjoint(label_files):
        raise DataError(
            f"{labels}: no image has a label file: the images are called as {pairs[0].image.name}, the label files as "
            f"{label_files[0].name}; call each label file as its image"
        )
    unread = [path for path in left_out if _name(path, images) + suffix in by_name]
    if unread:
        raise DataError(
            f"{images}: {pluralise(len(unread), 'picture')} that cannot be read, though with labels: {_shown(unread)}; "
            f"convert to JPEG or PNG"
        )
    messages = [f"{labels}: label files are called as their images, and {suffix}"] if suffix else []
    if left_out:
        files_text = pluralise(len(left_out), "file")
        messages.append(f"{images}: {files_text} left out, as no picture that is read: {_shown(left_out)}")
    lone = [path for path in label_files if path not in used]
    lone = [path for path in lone if path.suffix.lower() in (*LABEL_ENDINGS, *IMAGE_ENDINGS)]
    further = all(any(stem in names.values() for stem, _ in _splits(_name(path, labels))) for path in lone)
    if lone and keep is None and not further:  # further label files of an image: a_instances.png beside a.png
        messages.append(f"{labels}: {pluralise(len(lone), 'label file')} without a picture: {_shown(lone)}")
    return Pairing(pairs, messages)


def _name(path: Path, folder: Path) -> str:
    """Return the path within a folder, without an ending."""
    return path.relative_to(folder).with_suffix("").as_posix()


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield all splits of a name into a stem and a suffix such as _mask."""
    return ((name[: match.start()], name[match.start() :]) for match in re.finditer(r"[_\-. ]", name))


def _listed(pictures: list[Path], names: dict[Path, str], keep: Sequence[str], images: Path) -> list[Path]:
    """Return the images that a list names, in its order. Raises DataError for names without an image."""
    by_name = {names[path]: path for path in pictures}
    absent = [name for name in keep if name not in by_name]
    if absent:
        raise DataError(*(f"{images / name}: no such image, though a list names it" for name in absent))
    return [by_name[name] for name in keep]


def _suffix(names: Sequence[str], by_name: dict[str, list[Path]], labels: Path) -> str:
    """Return the suffix of the label files; empty if they are called like the images. Raises DataError for several."""
    present = {*names}
    if not names or not present.isdisjoint(by_name):
        return ""
    counts = Counter(suffix for label in by_name for stem, suffix in _splits(label) if stem in present)
    if not counts:
        return ""
    most = max(counts.values())
    best = sorted(suffix for suffix, count in counts.items() if count == most)
    if len(best) > 1:
        raise DataError(
            f"{labels}: each image has more than one label file, {', '.join(best)} behind its name; keep one kind there"
        )
    return best[0]


def _label_file(image: Path, name: str, by_name: dict[str, list[Path]], labels: Path) -> Path:
    """Return the path of an image's label file, which may be missing. Raises DataError if there are several."""
    paths = by_name.get(name, [])
    usable = [path for path in paths if path.suffix.lower() in LABEL_ENDINGS]
    if len(usable) > 1:
        raise DataError(f"{image}: has {len(usable)} label files, {_shown(usable)}; keep one")
    return (usable or paths or [labels / f"{name}.png"])[0]


def _shown(paths: Sequence[Path]) -> str:
    """Return the first names, and the number of the rest."""
    more = f" and {len(paths) - SHOWN} more" * (len(paths) > SHOWN)
    return ", ".join(path.name for path in paths[:SHOWN]) + more
