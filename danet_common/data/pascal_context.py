"""PASCAL Context (Mottaghi et al., CVPR 2014): every pixel of VOC 2010's images.

    PATH/JPEGImages/*.jpg                PATH is VOC2010, VOCdevkit, or what holds VOCdevkit
    PATH/SegmentationClassContext/*.png  as mmsegmentation converts the annotations, with
    PATH/ImageSets/SegmentationContext/{train,val}.txt; or
    PATH/Context/*.png                   as PaddleSeg does, with PATH/ImageSets/Segmentation/{train,val}_context.txt

The files hold 0 for background and 1..59 for the most frequent classes, by the alphabet: a class's place among
the sorted ids of the 459 classes' list. `pascal-context-60` learns background as a class; `pascal-context-59`
ignores it. There are no colours of its own: VOC's rule.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.config.classes import ClassSet, voc_colour_map
from danet_common.config.former_names import CONTEXT_59
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import LabelTable, plain_table
from danet_common.data.listing import first_path, names_in, require_split

PASCAL_CONTEXT_60 = ClassSet(("background", *CONTEXT_59), voc_colour_map(60))
PASCAL_CONTEXT_59 = ClassSet(PASCAL_CONTEXT_60.names[1:], PASCAL_CONTEXT_60.colours[1:])

SPLITS = ("train", "val")


def open_pascal_context_60(root: Path, split: str) -> FileDataset:
    """Open one split, with background as a class."""
    return _open("pascal-context-60", root, split, PASCAL_CONTEXT_60, plain_table(60))


def open_pascal_context_59(root: Path, split: str) -> FileDataset:
    """Open one split, with background as void."""
    return _open("pascal-context-59", root, split, PASCAL_CONTEXT_59, plain_table(59, first=1, ignored=[0]))


def _open(title: str, root: Path, split: str, classes: ClassSet, table: LabelTable) -> FileDataset:
    require_split(title, split, SPLITS)
    home = first_path(title, root, [f"{place}JPEGImages" for place in ("", "VOC2010/", "VOCdevkit/VOC2010/")]).parent
    labels = first_path(title, home, ["SegmentationClassContext", "Context"])
    lists = [f"ImageSets/SegmentationContext/{split}.txt", f"ImageSets/Segmentation/{split}_context.txt"]
    names = names_in(first_path(title, home, lists))
    pairs = [Pair(home / "JPEGImages" / f"{name}.jpg", labels / f"{name}.png") for name in names]
    return FileDataset(f"{title}:{root} {split}", classes, pairs, table)
