"""PASCAL VOC 2012 (Everingham et al., 2015), and SBD's further annotations (Hariharan et al., ICCV 2011).

    PATH/JPEGImages/*.jpg              PATH is VOC2012, VOCdevkit, or what holds VOCdevkit
    PATH/SegmentationClass/*.png
    PATH/SegmentationClassAug/*.png    SBD's, converted to PNG as DrSleep and mmsegmentation have them
    PATH/ImageSets/Segmentation/{train,val,trainval}.txt, and for `train_aug` one of trainaug.txt,
                                       train_aug.txt, or aug.txt, which holds only what train.txt has not

Label 255 is the border of every object. `train_aug` has 10,582 images, none of them in `val`: VOC's 1,464 of `train`
with VOC's labels, and the others with SBD's, as in mmsegmentation (configs/_base_/datasets/pascal_voc12_aug.py at
5b9c29f) and PaddleSeg (paddleseg/datasets/voc.py at d7975e7). SBD's folder holds VOC's pictures too, without borders.

PASCAL Context (Mottaghi et al., CVPR 2014): every pixel of VOC 2010's images.

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

from danet_common.config.classes import ClassSet, voc_class_set, voc_colour_map
from danet_common.config.former_names import CONTEXT_59
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import LabelTable, plain_table, with_colours
from danet_common.data.listing import first_path, names_in, require_split

PASCAL_VOC = voc_class_set(
    "background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, "
    "motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
)

AUGMENTED_LISTS = ("trainaug.txt", "train_aug.txt", "aug.txt")

VOC_TABLE = with_colours(plain_table(21), PASCAL_VOC.colours, void=[(224, 224, 192)])  # the border of objects

PASCAL_CONTEXT_60 = ClassSet(("background", *CONTEXT_59), voc_colour_map(60))
PASCAL_CONTEXT_59 = ClassSet(PASCAL_CONTEXT_60.names[1:], PASCAL_CONTEXT_60.colours[1:])


def open_pascal_voc(root: Path, split: str) -> FileDataset:
    """Open one split. In `train_aug`, the images of `train` have VOC's labels and the rest SBD's."""
    title = "voc"
    require_split(title, split, ("train", "val", "trainval", "train_aug"))
    home = first_path(title, root, [f"{place}JPEGImages" for place in ("", "VOC2012/", "VOCdevkit/VOC2012/")]).parent
    lists = first_path(title, home, ["ImageSets/Segmentation"])
    exact = first_path(title, home, ["SegmentationClass"])
    if split == "train_aug":
        own = set(names_in(lists / "train.txt"))
        names = sorted(own | set(names_in(first_path("voc with SBD", lists, AUGMENTED_LISTS))))
        augmented = first_path(title, home, ["SegmentationClassAug"])
    else:
        names, augmented = names_in(lists / f"{split}.txt"), exact
        own = set(names)
    folders = {name: exact if name in own else augmented for name in names}
    pairs = [Pair(home / "JPEGImages" / f"{name}.jpg", folders[name] / f"{name}.png") for name in names]
    return FileDataset(f"{title}:{root} {split}", PASCAL_VOC, pairs, VOC_TABLE)


def open_pascal_context_60(root: Path, split: str) -> FileDataset:
    """Open one split, with background as a class."""
    return _open_context("pascal-context-60", root, split, PASCAL_CONTEXT_60, plain_table(60))


def open_pascal_context_59(root: Path, split: str) -> FileDataset:
    """Open one split, with background as void."""
    return _open_context("pascal-context-59", root, split, PASCAL_CONTEXT_59, plain_table(59, first=1, ignored=[0]))


def _open_context(title: str, root: Path, split: str, classes: ClassSet, table: LabelTable) -> FileDataset:
    require_split(title, split, ("train", "val"))
    home = first_path(title, root, [f"{place}JPEGImages" for place in ("", "VOC2010/", "VOCdevkit/VOC2010/")]).parent
    labels = first_path(title, home, ["SegmentationClassContext", "Context"])
    lists = [f"ImageSets/SegmentationContext/{split}.txt", f"ImageSets/Segmentation/{split}_context.txt"]
    names = names_in(first_path(title, home, lists))
    pairs = [Pair(home / "JPEGImages" / f"{name}.jpg", labels / f"{name}.png") for name in names]
    return FileDataset(f"{title}:{root} {split}", classes, pairs, table)
