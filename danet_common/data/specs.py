"""Data sets as the command line names them: `cityscapes:PATH`, `scenes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from danet_common.data.ade20k import open_ade20k
from danet_common.data.camvid import open_camvid
from danet_common.data.cityscapes import open_cityscapes
from danet_common.data.coco_stuff import open_coco_stuff
from danet_common.data.dataset import DataError, Dataset
from danet_common.data.folder import open_folder
from danet_common.data.pascal_context import open_pascal_context_59, open_pascal_context_60
from danet_common.data.pascal_voc import open_pascal_voc
from danet_common.data.scenes import open_scenes

ON_DISK: dict[str, Callable[[Path, str], Dataset]] = {
    "ade20k": open_ade20k,
    "camvid": open_camvid,
    "cityscapes": open_cityscapes,
    "coco-stuff": open_coco_stuff,
    "folder": open_folder,
    "pascal-context-59": open_pascal_context_59,
    "pascal-context-60": open_pascal_context_60,
    "voc": open_pascal_voc,
}


def open_dataset(spec: str, split: str) -> Dataset:
    """One split of `NAME:PATH`, `scenes` or `scenes:COUNT`.

    Files are listed, not read: `Dataset.check` looks into them. Raises DataError for an unknown name, split or
    layout, saying what was wanted.
    """
    name, _, place = spec.partition(":")
    if name == "scenes":
        return open_scenes(place, split)
    if name not in ON_DISK:
        known = ", ".join([*(f"{known}:PATH" for known in ON_DISK), "scenes", "scenes:COUNT"])
        raise DataError(f"unknown data set {name!r}; known: {known}")
    if not place:
        raise DataError(f"{name} needs a place: {name}:PATH")
    return ON_DISK[name](Path(place).expanduser(), split)
