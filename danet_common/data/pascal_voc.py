"""PASCAL VOC 2012 (Everingham et al., 2015), and SBD's further annotations (Hariharan et al., ICCV 2011).

    PATH/JPEGImages/*.jpg              PATH is VOC2012, VOCdevkit, or what holds VOCdevkit
    PATH/SegmentationClass/*.png
    PATH/SegmentationClassAug/*.png    SBD's, converted to PNG as DrSleep and mmsegmentation have them
    PATH/ImageSets/Segmentation/{train,val,trainval}.txt, and for `train_aug` one of trainaug.txt,
                                       train_aug.txt, or aug.txt, which holds only what train.txt has not

Label 255 is the border of every object. `train_aug` has 10,582 images, none of them in `val`.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.classes import voc_class_set
from danet_common.data.files import FileDataset, Pair
from danet_common.data.labels import plain_table
from danet_common.data.listing import first_path, names_in, require_split

PASCAL_VOC = voc_class_set(
    "background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, "
    "motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
)

SPLITS = ("train", "val", "trainval", "train_aug")
AUGMENTED_LISTS = ("trainaug.txt", "train_aug.txt", "aug.txt")

TABLE = plain_table(21)


def open_pascal_voc(root: Path, split: str) -> FileDataset:
    """One split. Each label is SBD's where `train_aug` was asked for and SBD has one."""
    title = "voc"
    require_split(title, split, SPLITS)
    home = first_path(title, root, [f"{place}JPEGImages" for place in ("", "VOC2012/", "VOCdevkit/VOC2012/")]).parent
    lists = first_path(title, home, ["ImageSets/Segmentation"])
    exact = first_path(title, home, ["SegmentationClass"])
    if split == "train_aug":
        names = _augmented_names(lists)
        augmented = first_path(title, home, ["SegmentationClassAug"])
    else:
        names, augmented = names_in(lists / f"{split}.txt"), exact
    pairs = []
    for name in names:
        folder = augmented if (augmented / f"{name}.png").exists() else exact
        pairs.append(Pair(home / "JPEGImages" / f"{name}.jpg", folder / f"{name}.png"))
    return FileDataset(f"{title}:{root} {split}", PASCAL_VOC, pairs, TABLE)


def _augmented_names(lists: Path) -> list[str]:
    """Of `train_aug`, in order."""
    path = first_path("voc with SBD", lists, AUGMENTED_LISTS)
    names = names_in(path)
    if path.name == "aug.txt":
        names += names_in(lists / "train.txt")
    return sorted(set(names))
