"""Cityscapes (Cordts et al., CVPR 2016): 5,000 street scenes of 2048x1024, finely annotated.

    PATH/leftImg8bit/{train,val,test}/CITY/*_leftImg8bit.png
    PATH/gtFine/{train,val,test}/CITY/*_gtFine_labelIds.png        as downloaded
                                      *_gtFine_labelTrainIds.png   as cityscapesScripts converts them

Source of names, colours and ids: cityscapesScripts, helpers/labels.py. The labels of `test` are not
published: its files hold void only.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.config.classes import class_set
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import label_table, plain_table
from danet_common.data.listing import first_path, images_in, require_split

CITYSCAPES = class_set(  # the 19 classes with a trainId, in its order
    road=(128, 64, 128),
    sidewalk=(244, 35, 232),
    building=(70, 70, 70),
    wall=(102, 102, 156),
    fence=(190, 153, 153),
    pole=(153, 153, 153),
    traffic_light=(250, 170, 30),
    traffic_sign=(220, 220, 0),
    vegetation=(107, 142, 35),
    terrain=(152, 251, 152),
    sky=(70, 130, 180),
    person=(220, 20, 60),
    rider=(255, 0, 0),
    car=(0, 0, 142),
    truck=(0, 0, 70),
    bus=(0, 60, 100),
    train=(0, 80, 100),
    motorcycle=(0, 0, 230),
    bicycle=(119, 11, 32),
)

SPLITS = ("train", "val", "test")

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # of the classes above
TABLES = {  # ending of the label files -> what their bytes mean
    "labelIds": label_table({value: label for label, value in enumerate(IDS)}, ignored=range(34)),
    "labelTrainIds": plain_table(len(IDS)),
}


def open_cityscapes(root: Path, split: str) -> FileDataset:
    """Fine annotations of one split; labelIds where there are any, else labelTrainIds."""
    title = "cityscapes"
    require_split(title, split, SPLITS)
    images = first_path(title, root, [f"leftImg8bit/{split}"])
    labels = first_path(title, root, [f"gtFine/{split}"])
    kind = "labelTrainIds" if next(labels.glob("*/*_labelIds.png"), None) is None else "labelIds"
    pairs = [
        Pair(image, labels / image.parent.name / image.name.replace("_leftImg8bit", f"_gtFine_{kind}"))
        for image in images_in(images, "*/*_leftImg8bit.png")
    ]
    return FileDataset(f"{title}:{root} {split}", CITYSCAPES, pairs, TABLES[kind])
