"""MMSegmentation's trained backbones, such as `open-mmlab://resnet50_v1c`: a ResNet without a head.

The names are those of the backbone in `mmseg.py` without prefix (`stem.0.weight`). A plain ResNet is torchvision's.
"""

from weights_convert.mapping.schema import Schema
from weights_convert.schemas import mmseg
from weights_convert.schemas.resnet import backbone_of

MMSEG_BACKBONE: tuple[Schema, ...] = tuple(
    backbone_of(
        of,
        "backbone.",
        name="mmseg_backbone",
        source="https://github.com/open-mmlab/mmsegmentation, mmseg/models/backbones/resnet.py, version 1.2.2",
        layout=of.layout,
    )
    for of in (mmseg.V1C, mmseg.V1D)
)
