"""COCO-Stuff 164k (Caesar et al., CVPR 2018): the images of COCO 2017, 80 things and 91 kinds of stuff.

    PATH/images/{train,val}2017/*.jpg         or PATH/{train,val}2017
    PATH/annotations/{train,val}2017/*.png    or PATH/stuffthingmaps: stuffthingmaps_trainval2017.zip
                                    *_labelTrainIds.png   as mmsegmentation converts them, beside or instead

COCO-Stuff 10k, an earlier set of 9,000 and 1,000 images with the same classes:

    PATH/images/{train,test}2014/*.jpg        as mmsegmentation converts them: 0 is void, 1 to 171 the classes
    PATH/annotations/{train,test}2014/*_labelTrainIds.png

The published files hold COCO's id less 1, 0 to 181, without 11 unused ids; the other 171 are the classes, as in
mmsegmentation. The colours follow VOC's rule.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.config.classes import read_class_set
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import label_table, plain_table
from danet_common.data.listing import first_path, images_in, require_split

COCO_STUFF = read_class_set("coco_stuff")

UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)  # ids less 1 that COCO no longer uses
USED = [value for value in range(182) if value not in UNUSED]
TABLES = {  # suffix of the label files -> their values
    "": label_table({value: label for label, value in enumerate(USED)}),
    "_labelTrainIds": plain_table(171),
}
TABLE_10K = plain_table(171, first=1, ignored=[0])


def open_coco_stuff(root: Path, split: str) -> FileDataset:
    """Open one split, with the published labels if it has any, else the converted ones."""
    title = "coco-stuff"
    require_split(title, split, ("train", "val"))
    folder = f"{split}2017"
    images = first_path(title, root, [f"images/{folder}", folder])
    labels = first_path(title, root, [f"annotations/{folder}", f"stuffthingmaps/{folder}"])
    paths = images_in(images)
    published = any((labels / f"{path.stem}.png").exists() for path in paths[:1])
    ending = "" if published else "_labelTrainIds"
    pairs = [Pair(image, labels / f"{image.stem}{ending}.png") for image in paths]
    return FileDataset(f"{title}:{root} {split}", COCO_STUFF, pairs, TABLES[ending])


def open_coco_stuff_10k(root: Path, split: str) -> FileDataset:
    """Open one split of the 10k version."""
    title = "coco-stuff-10k"
    require_split(title, split, ("train", "test"))
    images = first_path(title, root, [f"images/{split}2014"])
    labels = first_path(title, root, [f"annotations/{split}2014"])
    pairs = [Pair(image, labels / f"{image.stem}_labelTrainIds.png") for image in images_in(images)]
    return FileDataset(f"{title}:{root} {split}", COCO_STUFF, pairs, TABLE_10K)
