"""Open data sets as the command line names them: `cityscapes:PATH`, `scenes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from danet_common.data.ade20k import open_ade20k
from danet_common.data.camvid import open_camvid
from danet_common.data.cityscapes import open_cityscapes
from danet_common.data.coco_stuff import open_coco_stuff, open_coco_stuff_10k
from danet_common.data.dataset import DataError, Dataset, PixelCounts, Sample, log_remark
from danet_common.data.files import FileDataset
from danet_common.data.folder import has_split, open_folder
from danet_common.data.label_settings import NO_SETTINGS, LabelSettings
from danet_common.data.pascal import open_pascal_context_59, open_pascal_context_60, open_pascal_voc
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
    """Open one split of `NAME:PATH`, `scenes` or `scenes:COUNT`; lists its files without reading them.

    `trainval` joins train and val if the data set has no split of that name. Raises DataError for an unknown name,
    split or layout.
    """
    name, _, place = spec.partition(":")
    if name != "scenes" and name not in ON_DISK:
        known = ", ".join([*(f"{known}:PATH" for known in ON_DISK), "scenes", "scenes:COUNT"])
        raise DataError(f"unknown data set {name!r}; known: {known}")
    if name != "scenes" and not place:
        raise DataError(f"{name} needs a place: {name}:PATH")
    root = Path(place).expanduser()
    has_trainval = has_split(root, "trainval") if name == "folder" else name in ("voc", "coco-stuff-10k")
    if split == "trainval" and not has_trainval:
        return JoinedDataset(f"{spec} trainval", {part: open_dataset(spec, part, labels) for part in ("train", "val")})
    if name == "scenes":
        if labels != NO_SETTINGS:
            raise DataError(f"scenes has no label files; leave out {', '.join(labels.assignments)}")
        return open_scenes(place, split)
    return ON_DISK[name](root, split).read_by(labels)


class JoinedDataset(Dataset):
    """The items of several splits, in order; a name that is in 2 splits is prefixed by its split's."""

    def __init__(self, title: str, parts: Mapping[str, Dataset]) -> None:
        times = Counter(name for part in parts.values() for name in part.item_names)
        names = [
            name if times[name] == 1 else f"{split}/{name}" for split, part in parts.items() for name in part.item_names
        ]
        super().__init__(title, next(iter(parts.values())).classes, names)
        self.parts = tuple(parts.values())

    def item(self, index: int) -> Sample:
        """Return an item of the split that holds it. Raises DataError."""
        index = offset = range(len(self))[index]
        for part in self.parts:
            if offset < len(part):
                return replace(part.item(offset), name=self.item_names[index])
            offset -= len(part)
        raise IndexError(index)

    def check(self, limit: int | None = None, log: Callable[[str], None] = log_remark) -> PixelCounts | None:
        """Check the items of every split, as `Dataset.check` does."""
        left = len(self) if limit is None else limit
        counts: list[PixelCounts] = []
        errors: list[str] = []
        for part in self.parts:
            if left <= 0:
                break
            try:
                part_counts = part.check(min(left, len(part)), log)
                counts += [] if part_counts is None else [part_counts]
            except DataError as error:
                errors += error.errors
            left -= len(part)
        if errors:
            raise DataError(*errors)
        if not counts:
            return None
        pixels = zip(*(part.pixels for part in counts), strict=True)
        return PixelCounts(tuple(map(sum, pixels)), sum(part.void for part in counts))
