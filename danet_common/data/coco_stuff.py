"""COCO-Stuff 164k (Caesar et al., CVPR 2018): the images of COCO 2017, 80 things and 91 kinds of stuff.

    PATH/images/{train,val}2017/*.jpg         or PATH/{train,val}2017
    PATH/annotations/{train,val}2017/*.png    or PATH/stuffthingmaps: stuffthingmaps_trainval2017.zip
                                    *_labelTrainIds.png   as mmsegmentation converts them, beside or instead

COCO-Stuff 10k, an earlier set of 9,000 and 1,000 pictures with the same classes:

    PATH/images/{train,test}2014/*.jpg        as mmsegmentation converts them: 0 is void, 1 to 171 the classes
    PATH/annotations/{train,test}2014/*_labelTrainIds.png

The published files hold COCO's id less 1, from 0 to 181, of which 11 are never used; the 171 others in
their order are the classes, as in mmsegmentation. There are no colours of its own: VOC's rule.
"""

from __future__ import annotations

from pathlib import Path

from danet_common.config.classes import voc_class_set
from danet_common.data.files import FileDataset, Pair
from danet_common.data.label_table import label_table, plain_table
from danet_common.data.listing import first_path, images_in, require_split

COCO_STUFF = voc_class_set(
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, "
    "laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, "
    "scissors, teddy bear, hair drier, toothbrush, banner, blanket, branch, bridge, building-other, bush, cabinet, "
    "cage, cardboard, carpet, ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, "
    "desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, "
    "fog, food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal, "
    "mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other, plastic, platform, "
    "playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, "
    "snow, solid-other, stairs, stone, straw, structural-other, table, tent, textile-other, towel, tree, vegetable, "
    "wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, "
    "window-blind, window-other, wood"
)

SPLITS = ("train", "val")

UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)  # ids less 1 that COCO has given up
USED = [value for value in range(182) if value not in UNUSED]
TABLES = {  # what follows the image's name in the label files' -> what their bytes mean
    "": label_table({value: label for label, value in enumerate(USED)}),
    "_labelTrainIds": plain_table(171),
}
SPLITS_10K = ("train", "test")
TABLE_10K = plain_table(171, first=1, ignored=[0])


def open_coco_stuff(root: Path, split: str) -> FileDataset:
    """One split; the published labels where there are any, else the converted ones."""
    title = "coco-stuff"
    require_split(title, split, SPLITS)
    folder = f"{split}2017"
    images = first_path(title, root, [f"images/{folder}", folder])
    labels = first_path(title, root, [f"annotations/{folder}", f"stuffthingmaps/{folder}"])
    found = images_in(images)
    published = any((labels / f"{image.stem}.png").exists() for image in found[:1])
    ending = "" if published else "_labelTrainIds"
    pairs = [Pair(image, labels / f"{image.stem}{ending}.png") for image in found]
    return FileDataset(f"{title}:{root} {split}", COCO_STUFF, pairs, TABLES[ending])


def open_coco_stuff_10k(root: Path, split: str) -> FileDataset:
    """One split of the 10k version."""
    title = "coco-stuff-10k"
    require_split(title, split, SPLITS_10K)
    images = first_path(title, root, [f"images/{split}2014"])
    labels = first_path(title, root, [f"annotations/{split}2014"])
    pairs = [Pair(image, labels / f"{image.stem}_labelTrainIds.png") for image in images_in(images)]
    return FileDataset(f"{title}:{root} {split}", COCO_STUFF, pairs, TABLE_10K)
