"""Pairs of images and label files by their names, and what was left out of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from danet_common.data.dataset import DataError
from danet_common.data.files import Pair
from danet_common.data.listing import IMAGE_ENDINGS, files_below
from danet_common.text import pluralise

LABEL_ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm")
OTHER_PICTURES = (
    ".heic", ".heif", ".jxl", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raw", ".psd", ".svg", ".exr", ".npy", ".mat",
    ".tga", ".dcm", ".nii", ".gz", ".npz", ".pdf", ".mp4", ".mov",
)  # fmt: skip
SHOWN = 3


@dataclass(frozen=True)
class Pairing:
    """Pairs in the order of the images, and remarks on the files that are in none, a line each."""

    pairs: list[Pair]
    remarks: list[str]


def pair_files(images: Path, labels: Path, keep: Sequence[str] | None = None) -> Pairing:
    """Every image in a folder and in those within it, with the label file at the same place in the other.

    keep  only these images, by their place without an ending

    A label file has the image's name, or that name and an ending which is the same for all: `a_mask.png`. Raises
    DataError where an image has more than one label file, or a picture of a kind that is not read has one.
    """
    within = labels if images in labels.parents else None  # labels in a folder of the images' one
    found = [path for path in files_below(images) if within is None or within not in path.parents]
    pictures = [path for path in found if path.suffix.lower() in IMAGE_ENDINGS]
    others = [path for path in found if path.suffix.lower() not in IMAGE_ENDINGS]
    names = {path: _name(path, images) for path in pictures}
    if keep is not None:
        pictures = _kept(pictures, names, keep, images)
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for path in files_below(labels):
        if images != labels or path not in names:
            by_name[_name(path, labels)].append(path)
    suffix = _suffix([names[path] for path in pictures], by_name, labels)
    pairs = [Pair(path, _label_file(path, names[path] + suffix, by_name, labels), names[path]) for path in pictures]
    used = {pair.labels for pair in pairs}
    if by_name and pairs and not any(pair.labels in paths for pair in pairs for paths in by_name.values()):
        other = next(iter(by_name.values()))[0]
        raise DataError(
            f"{labels}: no image has a label file: the images are called as {pairs[0].image.name}, the label files as "
            f"{other.name}; call each label file as its image"
        )
    unread = [path for path in others if _name(path, images) + suffix in by_name]
    if unread:
        raise DataError(
            f"{images}: {pluralise(len(unread), 'picture')} that cannot be read, though with labels: {_shown(unread)}; "
            f"convert to JPEG or PNG"
        )
    remarks = [f"{labels}: label files are called as their images, and {suffix}"] if suffix else []
    if others:
        remarks.append(
            f"{images}: {pluralise(len(others), 'file')} left out, as no picture that is read: {_shown(others)}"
        )
    lone = [path for paths in by_name.values() for path in paths if path not in used]
    lone = [path for path in lone if path.suffix.lower() in (*LABEL_ENDINGS, *IMAGE_ENDINGS)]
    if lone and keep is None and not _are_further(lone, {*names.values()}, labels):
        remarks.append(f"{labels}: {pluralise(len(lone), 'label file')} without a picture: {_shown(lone)}")
    return Pairing(pairs, remarks)


def _name(path: Path, folder: Path) -> str:
    """The place within a folder, without an ending."""
    return path.relative_to(folder).with_suffix("").as_posix()


def _kept(pictures: list[Path], names: dict[Path, str], keep: Sequence[str], images: Path) -> list[Path]:
    """The pictures that a list names, in its order. Raises DataError for names that no picture has."""
    by_name = {names[path]: path for path in pictures}
    absent = [name for name in keep if name not in by_name]
    if absent:
        raise DataError(*(f"{images / name}: no such image, though a list names it" for name in absent))
    return [by_name[name] for name in keep]


def _suffix(names: Sequence[str], by_name: dict[str, list[Path]], labels: Path) -> str:
    """What follows every image's name in those of the label files. Raises DataError where that is not one thing."""
    if not names or any(name in by_name for name in names):
        return ""
    candidates: Counter[str] = Counter()
    present = set(names)
    for label in by_name:
        for match in re.finditer(r"[_\-. ]", label):
            if label[: match.start()] in present:
                candidates[label[match.start() :]] += 1
    if not candidates:
        return ""
    most = max(candidates.values())
    best = sorted(suffix for suffix, count in candidates.items() if count == most)
    if len(best) > 1:
        raise DataError(
            f"{labels}: each image has more than one label file, {', '.join(best)} behind its name; keep one kind there"
        )
    return best[0]


def _label_file(image: Path, name: str, by_name: dict[str, list[Path]], labels: Path) -> Path:
    """The label file of a name, whether there is one or not. Raises DataError where there are more."""
    found = by_name.get(name, [])
    usable = [path for path in found if path.suffix.lower() in LABEL_ENDINGS]
    if len(usable) > 1:
        raise DataError(f"{image}: has {len(usable)} label files, {_shown(usable)}; keep one")
    return (usable or found or [labels / f"{name}.png"])[0]


def _are_further(lone: Sequence[Path], names: set[str], labels: Path) -> bool:
    """True where label files without a picture are others of pictures that have one: a_instances.png beside a.png."""
    return all(
        any(label[: match.start()] in names for match in re.finditer(r"[_\-. ]", label))
        for label in (_name(path, labels) for path in lone)
    )


def _shown(paths: Sequence[Path]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(paths) - SHOWN} more" * (len(paths) > SHOWN)
    return ", ".join(path.name for path in paths[:SHOWN]) + more
