"""MMSegmentation's trained backbones, such as `open-mmlab://resnet50_v1c`: a ResNet without a head.

The names are those of the backbone in `mmseg.py`. OpenMMLab's files of ResNetV1c and ResNetV1d have no prefix
(`stem.0.weight`). Files of MMPretrain, and files cut from a detector or segmentor, have the prefix `backbone.`.
A classifier, `fc` or `head.fc`, becomes an extra tensor. A plain ResNet without prefix is torchvision's.
"""

from __future__ import annotations

from weights_convert.mapping.schema import Schema
from weights_convert.schemas import mmseg
from weights_convert.schemas.resnet import backbone_of, classifier

PREFIX = "backbone."


def _backbone(of: Schema, bare: bool, with_classifier: bool) -> Schema:
    """Return the schema of the backbone of one of mmseg's networks."""
    prefix, names = (PREFIX, "bare") if bare else ("", "prefixed")
    return backbone_of(
        of,
        prefix,
        name="mmseg_backbone",
        source="https://github.com/open-mmlab/mmsegmentation, mmseg/models/backbones/resnet.py, version 1.2.2",
        layout=f"{of.layout} {names}{' with classifier' * with_classifier}",
        extra_tensors=classifier("fc" if bare else "head.fc") if with_classifier else {},
    )


MMSEG_BACKBONE: tuple[Schema, ...] = tuple(
    _backbone(of, bare, with_classifier)
    for of, bare in (
        (mmseg.V1C, True),
        (mmseg.V1D, True),
        (mmseg.V1C, False),
        (mmseg.PLAIN, False),
        (mmseg.V1D, False),
    )
    for with_classifier in (False, True)
)
