"""CamVid (Brostow et al., 2009) as the SegNet tutorial prepared it: 367 + 101 + 233 frames of 480x360.

    PATH/{train,val,test}/images/*    PATH/{train,val,test}/labels/*.png
    PATH/{train,val,test}/*.png       PATH/{train,val,test}annot/*.png      the tutorial's own names

The 11 classes and their order are the tutorial's; there 11 is void, elsewhere 255.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.config.classes import read_class_set
from danet_common.data.dataset import DataError
from danet_common.data.files import FileDataset
from danet_common.data.label_table import plain_table, with_colours
from danet_common.data.listing import first_path, require_split
from danet_common.data.pairing import pair_files

CAMVID = read_class_set("camvid")

TABLE = with_colours(plain_table(11, ignored=[11]), CAMVID.colours, void=[(0, 0, 0)])


def open_camvid(root: Path, split: str) -> FileDataset:
    """Open one split, in either layout."""
    title = "camvid"
    require_split(title, split, ("train", "val", "test"))
    images = first_path(title, root, [f"{split}/images", split])
    if (root / f"{split}_labels").is_dir():
        raise DataError(f"{root}: not the 11 classes of camvid: {split}_labels are colours; folder:{root} reads them")
    labels = first_path(title, root, [f"{split}/labels", f"{split}annot"])
    pairing = pair_files(images, labels)
    return FileDataset(f"{title}:{root} {split}", CAMVID, pairing.pairs, TABLE, pairing.messages)
