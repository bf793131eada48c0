"""Class names and colours of the data sets that published networks were trained on, and colours for all others."""

from __future__ import annotations

from dataclasses import dataclass

from danet_common.config import DANetConfig

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ClassSet:
    """The classes of a data set, in the order of their labels."""

    names: tuple[str, ...]
    colours: tuple[Colour, ...]  # RGB


def _class_set(**colours: Colour) -> ClassSet:
    return ClassSet(tuple(name.replace("_", " ") for name in colours), tuple(colours.values()))


# cityscapesScripts, helpers/labels.py: the 19 classes with a trainId, in its order.
CITYSCAPES = _class_set(
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

# The 11 classes and their order as in SegNet's CamVid.
CAMVID = _class_set(
    sky=(128, 128, 128),
    building=(128, 0, 0),
    pole=(192, 192, 128),
    road=(128, 64, 128),
    pavement=(60, 40, 222),
    tree=(128, 128, 0),
    sign_symbol=(192, 128, 128),
    fence=(64, 64, 128),
    car=(64, 0, 128),
    pedestrian=(64, 64, 0),
    bicyclist=(0, 128, 192),
)


def voc_colour_map(count: int) -> tuple[Colour, ...]:
    """The first colours of PASCAL VOC's rule: bits 0, 3, 6, ... of a label, from the high bit down, are its red."""
    return tuple((_spread(label), _spread(label >> 1), _spread(label >> 2)) for label in range(count))


def _spread(label: int) -> int:
    """Every third bit of a label, the lowest first in the place of the highest."""
    return sum((label >> (3 * position) & 1) << (7 - position) for position in range(8))


def palette_of(config: DANetConfig) -> tuple[Colour, ...]:
    """One colour per class: the config's own, else those of the data set with these classes, else VOC's rule.

    Where the config names no classes their count decides, which can only be wrong about colours.
    """
    if config.palette is not None:
        return config.palette
    for known in (CITYSCAPES, CAMVID):
        if config.class_names in (None, known.names) and config.num_classes == len(known.names):
            return known.colours
    return voc_colour_map(config.num_classes)
