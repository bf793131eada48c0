"""Colours of a network's labels."""

from __future__ import annotations

from danet_common.config import DANetConfig
from danet_common.config.classes import Colour, voc_colour_map
from danet_common.data.ade20k import ADE20K
from danet_common.data.camvid import CAMVID
from danet_common.data.cityscapes import CITYSCAPES


def palette_of(config: DANetConfig) -> tuple[Colour, ...]:
    """Return a colour for each class: the config's, else those of the data set with these classes, else VOC's rule.

    Without class names their count decides; only colours can be wrong then.
    """
    if config.palette is not None:
        return config.palette
    for known in (CITYSCAPES, CAMVID, ADE20K):
        if config.class_names in (None, known.names) and config.num_classes == len(known.names):
            return known.colours
    return voc_colour_map(config.num_classes)
