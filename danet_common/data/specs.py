"""Data sets as the command line names them: `cityscapes:PATH`, `scenes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from danet_common.data.ade20k import open_ade20k
from danet_common.data.camvid import open_camvid
from danet_common.data.cityscapes import open_cityscapes
from danet_common.data.coco_stuff import open_coco_stuff, open_coco_stuff_10k
from danet_common.data.dataset import DataError, Dataset
from danet_common.data.files import FileDataset
from danet_common.data.folder import has_split, open_folder
from danet_common.data.joined import Joined
from danet_common.data.label_settings import NO_SETTINGS, LabelSettings
from danet_common.data.pascal_context import open_pascal_context_59, open_pascal_context_60
from danet_common.data.pascal_voc import open_pascal_voc
from danet_common.data.scenes import open_scenes

ON_DISK: dict[str, Callable[[Path, str], FileDataset]] = {
    "ade20k": open_ade20k,
    "camvid": open_camvid,
    "cityscapes": open_cityscapes,
    "coco-stuff": open_coco_stuff,
    "coco-stuff-10k": open_coco_stuff_10k,
    "folder": open_folder,
    "pascal-context-59": open_pascal_context_59,
    "pascal-context-60": open_pascal_context_60,
    "voc": open_pascal_voc,
}


def open_dataset(spec: str, split: str, labels: LabelSettings = NO_SETTINGS) -> Dataset:
    """One split of `NAME:PATH`, `scenes` or `scenes:COUNT`; `trainval` is train and val where there is no such split.

    labels  how a user says that label files are read

    Files are listed, not read: `Dataset.check` looks into them. Raises DataError for an unknown name, split or
    layout, saying what was wanted.
    """
    name, _, place = spec.partition(":")
    if name != "scenes" and name not in ON_DISK:
        known = ", ".join([*(f"{known}:PATH" for known in ON_DISK), "scenes", "scenes:COUNT"])
        raise DataError(f"unknown data set {name!r}; known: {known}")
    if name != "scenes" and not place:
        raise DataError(f"{name} needs a place: {name}:PATH")
    if split == "trainval" and not _has_trainval(name, place):
        parts = {part: open_dataset(spec, part, labels) for part in ("train", "val")}
        return Joined(f"{spec} trainval", parts)
    if name == "scenes":
        if labels != NO_SETTINGS:
            raise DataError(f"scenes has no label files; leave out {', '.join(labels.assignments)}")
        return open_scenes(place, split)
    return ON_DISK[name](Path(place).expanduser(), split).read_by(labels)


def _has_trainval(name: str, place: str) -> bool:
    """True where a data set has a split of that name, or neither that nor two that make it."""
    if name == "folder":
        return has_split(Path(place).expanduser(), "trainval")
    return name in ("voc", "coco-stuff-10k")
