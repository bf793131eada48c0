"""Published recipes: training, augmentation and network.

Each was run on several GPUs; `batch_size` is that of all together. Sources are cited at a commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from danet_common.config.recipe import TrainConfig
from danet_common.data.augmentation import Augmentation


@dataclass(frozen=True)
class Recipe:
    """A published training.

    networks  the variants that were trained by it; the first is the default
    data      the data set and split, for people
    """

    train: TrainConfig
    augmentation: Augmentation
    networks: tuple[str, ...]
    data: str


AUTHORS = ("danet_r101", "danet_r50")
MMSEG = ("danet_r50_mmseg", "danet_r101_mmseg")
MMSEG_769 = ("danet_r50_mmseg_769", "danet_r101_mmseg_769")
PADDLE = ("danet_r50_paddle", "danet_r101_paddle")
GLUONCV = ("danet_r50_gluoncv", "danet_r101_gluoncv")

# junfu1115/DANet at 97f0c42 (September 2018): README, danet/option.py, danet/train.py (three losses of weight 1, the
# head's rate tenfold), encoding/datasets/base.py:70-110 (the short side of `base` times 0.75 to 2; no blur).
# Epochs have 2975 // 8 steps. No auxiliary head.
OFFICIAL_CITYSCAPES = TrainConfig(steps=240 * 371, learning_rate=0.003)
OFFICIAL_CITYSCAPES_PICTURES = Augmentation(crop=(768, 768), base=(2048, 1024), scale=(0.75, 2.0))
# The same code for smaller pictures, danet/option.py: base 608, crop 576, 80 epochs of Pascal Context, 4 pictures for
# each of the 4 GPUs. The rate is the paper's 0.001 (quoted in issue 30 of the authors' repository; used by issue 72);
# option.py would take 0.002 for 16 pictures. COCO-Stuff is trained as Pascal Context is (the authors in issue 20). 4998
# and 9000 training pictures; an epoch leaves the rest out. The short side of 608 is scaled, the long one has no limit.
OFFICIAL_SMALL = TrainConfig(batch_size=16, learning_rate=0.001)
OFFICIAL_SMALL_PICTURES = Augmentation(crop=(576, 576), base=(65_535, 608), scale=(0.75, 2.0))

# mmsegmentation, configs/danet/danet_r50-d8_4xb2-*_cityscapes-*.py, danet_r50-d8_4xb4-*.py at a3a144a: 4 x 2 pictures
# for Cityscapes, 4 x 4 elsewhere; _base_/schedules/schedule_{20k,40k,80k,160k}.py at 46723a9; _base_/models/
# danet_r50-d8.py at 3f8d34e (losses 1, 1, 1 and 0.4). Its loss divides by all pixels, void too
# (mmseg/models/losses/cross_entropy_loss.py at 021e797, avg_non_ignore=False).
MMSEG_SGD = TrainConfig(
    learning_rate=0.01,
    min_learning_rate=1e-4,
    weight_decay=5e-4,
    head_lr_multiplier=1.0,
    initialisation="mmseg",
    loss_mean="all_pixels",
)
# _base_/datasets/cityscapes.py at 0683f04, ade20k.py and cityscapes_769x769.py at 02677ac, pascal_voc12.py at 0683f04;
# the hue turns by 18 of OpenCV's 180, brightness by 32 of 255.
MMSEG_PICTURES = Augmentation(
    crop=(512, 1024), largest_share=0.75, brightness=32 / 255, contrast=0.5, saturation=0.5, hue=36.0, base=(2048, 1024)
)
MMSEG_769_PICTURES = replace(MMSEG_PICTURES, crop=(769, 769), base=(2049, 1025))
MMSEG_512_PICTURES = replace(MMSEG_PICTURES, crop=(512, 512), base=(2048, 512))

# PaddleSeg at d7975e7: configs/danet/*.yml, configs/_base_/cityscapes.yml and pascal_voc12.yml; batches are those of
# one of 4 devices (docs/config/pre_config.md:94). RandomDistort's own default turns the hue by 18 of Pillow's 256.
PADDLE_SGD = TrainConfig(learning_rate=0.01, weight_decay=4e-5, head_lr_multiplier=1.0, initialisation="paddle")
PADDLE_PICTURES = Augmentation(
    crop=(512, 1024),
    scale_step=0.25,
    distortion="paddle",
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=18 * 360 / 256,
)

# GluonCV: scripts/segmentation/train.py at 5677756 (16 pictures, decay 1e-4, one rate, poly 0.9) with the command of
# dmlc/web-data at 1857d4e, gluoncv/logs/segmentation/danet_resnet50_citys.sh (rate 0.01, 240 epochs, base 2048, crop
# 768). gluoncv/data/segbase.py:46-81 scales the long side of 2048 by 0.5 to 2 and blurs every second picture by up to a
# pixel. Epochs have ceil(2975 / 16) steps.
GLUONCV_SGD = TrainConfig(
    steps=240 * 186, batch_size=16, learning_rate=0.01, head_lr_multiplier=1.0, initialisation="mxnet"
)
GLUONCV_PICTURES = Augmentation(crop=(768, 768), base=(2048, 2048), scale=(0.5, 2.0), blur=1.0)


def _mmseg(
    steps: int, augmentation: Augmentation, data: str, batch_size: int = 16, networks: tuple[str, ...] = MMSEG
) -> Recipe:
    return Recipe(MMSEG_SGD.replace(steps=steps, batch_size=batch_size), augmentation, networks, data)


RECIPES: dict[str, Recipe] = {
    "official-cityscapes": Recipe(OFFICIAL_CITYSCAPES, OFFICIAL_CITYSCAPES_PICTURES, AUTHORS, "cityscapes train"),
    "official-pascal-context": Recipe(
        OFFICIAL_SMALL.replace(steps=80 * 312), OFFICIAL_SMALL_PICTURES, AUTHORS, "pascal-context-59 train"
    ),
    "official-coco-stuff-10k": Recipe(
        OFFICIAL_SMALL.replace(steps=80 * 562), OFFICIAL_SMALL_PICTURES, AUTHORS, "coco-stuff-10k train"
    ),
    "mmseg-40k": _mmseg(40_000, MMSEG_PICTURES, "cityscapes train", 8),
    "mmseg-80k": _mmseg(80_000, MMSEG_PICTURES, "cityscapes train", 8),
    "mmseg-769-40k": _mmseg(40_000, MMSEG_769_PICTURES, "cityscapes train", 8, MMSEG_769),
    "mmseg-769-80k": _mmseg(80_000, MMSEG_769_PICTURES, "cityscapes train", 8, MMSEG_769),
    "mmseg-ade20k-80k": _mmseg(80_000, MMSEG_512_PICTURES, "ade20k train"),
    "mmseg-ade20k-160k": _mmseg(160_000, MMSEG_512_PICTURES, "ade20k train"),
    "mmseg-voc12aug-20k": _mmseg(20_000, MMSEG_512_PICTURES, "voc train_aug"),
    "mmseg-voc12aug-40k": _mmseg(40_000, MMSEG_512_PICTURES, "voc train_aug"),
    "paddleseg-80k": Recipe(PADDLE_SGD.replace(steps=80_000), PADDLE_PICTURES, PADDLE[:1], "cityscapes train"),
    "paddleseg-r101-80k": Recipe(
        PADDLE_SGD.replace(steps=80_000, batch_size=4), PADDLE_PICTURES, PADDLE[1:], "cityscapes train"
    ),
    "paddleseg-voc12aug-40k": Recipe(
        PADDLE_SGD.replace(steps=40_000, batch_size=16),
        replace(PADDLE_PICTURES, crop=(512, 512)),
        PADDLE[:1],
        "voc train_aug",
    ),
    "gluoncv-cityscapes": Recipe(GLUONCV_SGD, GLUONCV_PICTURES, GLUONCV, "cityscapes train"),
}


def get_recipe(name: str) -> Recipe:
    """Return the published recipe of this name. Raises ValueError for an unknown name."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}")
    return RECIPES[name]
