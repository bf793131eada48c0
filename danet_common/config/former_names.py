"""PASCAL Context's class names in the order of its label files, and in the order of older checkpoints.

The label files hold the place of a class among the sorted ids of the 459 classes' list, which is alphabetical
(mmsegmentation, tools/convert_datasets/pascal_context.py at 159db2f; PaddleSeg, tools/data/convert_voc2010.py at
d7975e7). Files written before that was noticed, here and by mmsegmentation, name VOC's 20 classes first.
"""

from __future__ import annotations

from danet_common.config.classes import listed

CONTEXT_59 = listed(
    "aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car, cat, "
    "ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, "
    "horse, keyboard, light, motorbike, mountain, mouse, person, plate, platform, pottedplant, road, rock, sheep, "
    "shelves, sidewalk, sign, sky, snow, sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, "
    "wood"
)
FORMER_59 = listed(
    "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, table, dog, horse, motorbike, person, "
    "pottedplant, sheep, sofa, train, tvmonitor, bag, bed, bench, book, building, cabinet, ceiling, cloth, "
    "computer, cup, door, fence, floor, flower, food, grass, ground, keyboard, light, mountain, mouse, curtain, "
    "platform, sign, plate, road, rock, shelves, sidewalk, sky, snow, bedclothes, track, tree, truck, wall, "
    "water, window, wood"
)
RIGHT = {FORMER_59: CONTEXT_59, ("background", *FORMER_59): ("background", *CONTEXT_59)}


def right_names(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return class names, the former ones in the order of their labels."""
    return names if names is None else RIGHT.get(names, names)
