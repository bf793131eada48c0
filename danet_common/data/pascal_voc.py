"""PASCAL VOC 2012 (Everingham et al., 2015), and SBD's further annotations (Hariharan et al., ICCV 2011).

    PATH/JPEGImages/*.jpg              PATH is VOC2012, VOCdevkit, or what holds VOCdevkit
    PATH/SegmentationClass/*.png
    PATH/SegmentationClassAug/*.png    SBD's, converted to PNG as DrSleep and mmsegmentation have them
    PATH/ImageSets/Segmentation/{train,val,trainval}.txt, and for `train_aug` one of trainaug.txt,
                                       train_aug.txt, or aug.txt, which holds only what train.txt has not

Label 255 is the border of every object. `train_aug` has 10,582 images, none of them in `val`: VOC's 1,464 of `train`
with VOC's labels, and the others with SBD's, as in mmsegmentation (configs/_base_/datasets/pascal_voc12_aug.py at
5b9c29f) and PaddleSeg (paddleseg/datasets/voc.py at d7975e7). SBD's folder holds VOC's pictures too, without borders.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.config.classes import voc_class_set
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import plain_table, with_colours
from danet_common.data.listing import first_path, names_in, require_split

PASCAL_VOC = voc_class_set(
    "background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, "
    "motorbike, person, pottedplant, sheep, sofa, train, tvmonitor"
)

SPLITS = ("train", "val", "trainval", "train_aug")
AUGMENTED_LISTS = ("trainaug.txt", "train_aug.txt", "aug.txt")

TABLE = with_colours(plain_table(21), PASCAL_VOC.colours, void=[(224, 224, 192)])  # the border of objects


def open_pascal_voc(root: Path, split: str) -> FileDataset:
    """Open one split. In `train_aug`, the images of `train` have VOC's labels and the rest SBD's."""
    title = "voc"
    require_split(title, split, SPLITS)
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
    return FileDataset(f"{title}:{root} {split}", PASCAL_VOC, pairs, TABLE)
