"""The colours in which a network's labels are shown."""

from __future__ import annotations

from danet_common.config import DANetConfig
from danet_common.config.classes import Colour, voc_colour_map
from danet_common.data.ade20k import ADE20K
from danet_common.data.camvid import CAMVID
from danet_common.data.cityscapes import CITYSCAPES

__all__ = ["ADE20K", "CAMVID", "CITYSCAPES", "palette_of", "voc_colour_map"]


def palette_of(config: DANetConfig) -> tuple[Colour, ...]:
    """One colour per class: the config's own, else those of the data set with these classes, else VOC's rule.

    Where the config names no classes their count decides, which can only be wrong about colours.
    """
    if config.palette is not None:
        return config.palette
    for known in (CITYSCAPES, CAMVID, ADE20K):
        if config.class_names in (None, known.names) and config.num_classes == len(known.names):
            return known.colours
    return voc_colour_map(config.num_classes)
