"""Cityscapes (Cordts et al., CVPR 2016): 5,000 street scenes of 2048x1024, finely annotated.

    PATH/leftImg8bit/{train,val,test}/CITY/*_leftImg8bit.png
    PATH/gtFine/{train,val,test}/CITY/*_gtFine_labelIds.png        as downloaded
                                      *_gtFine_labelTrainIds.png   as cityscapesScripts converts them

Source of names, colours and ids: cityscapesScripts, helpers/labels.py. The labels of `test` are not
published: its files hold void only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from danet_common.config import DANetConfig
from danet_common.config.classes import read_class_set
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import label_table, plain_table
from danet_common.data.listing import first_path, images_in, require_split

CITYSCAPES = read_class_set("cityscapes")

IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)  # of the classes above
TABLES = {  # ending of the label files -> their values
    "labelIds": label_table({value: label for label, value in enumerate(IDS)}, ignored=range(34)),
    "labelTrainIds": plain_table(len(IDS)),
}


def open_cityscapes(root: Path, split: str) -> FileDataset:
    """Open the fine annotations of a split: labelIds if it has any, else labelTrainIds."""
    title = "cityscapes"
    require_split(title, split, ("train", "val", "test"))
    images = first_path(title, root, [f"leftImg8bit/{split}"])
    labels = first_path(title, root, [f"gtFine/{split}"])
    kind = "labelTrainIds" if next(labels.glob("*/*_labelIds.png"), None) is None else "labelIds"
    pairs = [
        Pair(image, labels / image.parent.name / image.name.replace("_leftImg8bit", f"_gtFine_{kind}"))
        for image in images_in(images, "*/*_leftImg8bit.png")
    ]
    return FileDataset(f"{title}:{root} {split}", CITYSCAPES, pairs, TABLES[kind])


@dataclass(frozen=True)
class LabelIds:
    """The class numbers of a benchmark's server, in the order of the labels."""

    names: tuple[str, ...]
    ids: tuple[int, ...]

    def apply(self, labels: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
        """Return the ids of labels. Raises IndexError for an unknown label."""
        return np.array(self.ids, np.uint8)[labels]

    def require(self, config: DANetConfig) -> None:
        """Raise ValueError unless the network has these classes in this order, as far as it names them."""
        if config.num_classes != len(self.ids):
            raise ValueError(f"these label ids are of {len(self.ids)} classes; the network has {config.num_classes}")
        for label, (name, own) in enumerate(zip(self.names, config.class_names or self.names, strict=True)):
            if own != name:
                raise ValueError(f"label {label} is {name!r} in these label ids, and {own!r} in the network")


# The server of Cityscapes takes one 8-bit PNG for each image, in any folder, whose name begins with the image's city,
# sequence and frame: cityscapesScripts 02a0f28, evaluation/evalPixelLevelSemanticLabeling.py.
LABEL_IDS = {"cityscapes": LabelIds(CITYSCAPES.names, IDS)}
