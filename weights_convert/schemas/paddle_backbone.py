"""PaddleSeg's trained backbones, such as `resnet50_vd_ssld_v2`: ResNet_vd from a `.pdparams` file, without a head.

The names are those of the backbone in `paddleseg.py` without prefix. PaddleClas's files also have the classifier
`out`, which is left out. The backbones were trained with ImageNet's mean and std, PaddleSeg's networks with 0.5.
"""

from weights_convert.schemas.paddleseg import PADDLESEG
from weights_convert.schemas.resnet import backbone_of

PADDLE_BACKBONE = backbone_of(
    PADDLESEG,
    "backbone.",
    name="paddle_backbone",
    source="https://github.com/PaddlePaddle/PaddleSeg, paddleseg/models/backbones/resnet_vd.py, version 2.8",
    wrap_state_dict=PADDLESEG.wrap_state_dict,
)
