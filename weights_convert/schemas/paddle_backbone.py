"""PaddleSeg's trained backbones, such as `resnet50_vd_ssld_v2`: ResNet_vd from a `.pdparams` file, without a head.

The names are those of the backbone in `paddleseg.py` without prefix. PaddleClas's files also have the classifier
`out`, an extra tensor. The backbones were trained with ImageNet's mean and std, PaddleSeg's networks with 0.5 and 0.5.
"""

from __future__ import annotations

from dataclasses import replace

from weights_convert.mapping.schema import Assumption, Schema
from weights_convert.schemas.paddleseg import PADDLESEG
from weights_convert.schemas.resnet import of_backbone

BARE = replace(
    PADDLESEG,
    name="paddle_backbone",
    source="https://github.com/PaddlePaddle/PaddleSeg, paddleseg/models/backbones/resnet_vd.py, version 2.8",
    layout="ResNet_vd",
    modules=of_backbone(PADDLESEG.modules, "backbone."),
    gammas={},
    tied_modules={},
    absorbed_biases={},
    fixed_config={name: PADDLESEG.fixed_config[name] for name in ("block", "stem", "avg_down", "contract_dilation")},
    allowed_config={},
    assumptions=(
        Assumption("output_stride", 8, "the classification network has 32; PaddleSeg's DANets have 8"),
        Assumption("multi_grid", None, "the classification network has no dilation"),
    ),
    extra_tensors={},
    notes=(),
    backbone_only=True,
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
