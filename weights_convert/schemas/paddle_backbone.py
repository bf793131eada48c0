"""PaddleSeg's trained backbones, such as `resnet50_vd_ssld_v2`: ResNet_vd from a `.pdparams` file, without a head.

The names are those of the backbone in `paddleseg.py` without prefix. PaddleClas's files also have the classifier
`out`, an extra tensor. The backbones were trained with ImageNet's mean and std, PaddleSeg's networks with 0.5 and 0.5.
"""

from __future__ import annotations

from dataclasses import replace

from weights_convert.mapping.schema import Schema
from weights_convert.schemas.paddleseg import PADDLESEG
from weights_convert.schemas.resnet import backbone_of

BARE = backbone_of(
    PADDLESEG,
    "backbone.",
    name="paddle_backbone",
    source="https://github.com/PaddlePaddle/PaddleSeg, paddleseg/models/backbones/resnet_vd.py, version 2.8",
    layout="ResNet_vd",
    wrap_state_dict=PADDLESEG.wrap_state_dict,
)
WITH_CLASSIFIER = replace(
    BARE,
    layout="ResNet_vd with classifier",
    extra_tensors={
        "out.weight": lambda config: (config.stage_channels[3], 1000),
        "out.bias": lambda config: (1000,),
    },
)
PADDLE_BACKBONE: tuple[Schema, ...] = (BARE, WITH_CLASSIFIER)
