"""ADE20K as the Scene Parsing Challenge 2016 has it (Zhou et al., CVPR 2017): 150 classes.

    PATH/images/{training,validation}/*.jpg         PATH is ADEChallengeData2016, or what holds it
    PATH/annotations/{training,validation}/*.png

The files hold 0 for everything else, which is ignored, and 1..150 for the classes (mmsegmentation's
reduce_zero_label). Source of names and colours: CSAILVision/sceneparsing, objectInfo150 and color150.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.config.classes import read_class_set
from danet_common.data.files import FileDataset
from danet_common.data.label_table import plain_table, with_colours
from danet_common.data.listing import first_path, require_split
from danet_common.data.pairing import pair_files

ADE20K = read_class_set("ade20k")

FOLDERS = {"train": "training", "val": "validation"}  # split -> its folder

TABLE = with_colours(plain_table(150, first=1, ignored=[0]), ADE20K.colours, void=[(0, 0, 0)])


def open_ade20k(root: Path, split: str) -> FileDataset:
    """Open one split."""
    title = "ade20k"
    require_split(title, split, FOLDERS)
    home = first_path(title, root, ["annotations", "ADEChallengeData2016/annotations"]).parent
    images = first_path(title, home, [f"images/{FOLDERS[split]}"])
    labels = first_path(title, home, [f"annotations/{FOLDERS[split]}"])
    pairing = pair_files(images, labels)
    return FileDataset(f"{title}:{root} {split}", ADE20K, pairing.pairs, TABLE, pairing.messages)
