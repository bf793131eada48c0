"""torchvision's ResNets: classification networks; DANet uses the backbone.

The names are those of `torchvision/models/resnet.py`. The classifier `fc` becomes an extra tensor.
"""

from weights_convert.mapping.schema import Schema
from weights_convert.schemas.resnet import OF_CLASSIFICATION, classifier, plain_stem, stages

TORCHVISION = Schema(
    name="torchvision",
    source="https://github.com/pytorch/vision, torchvision/models/resnet.py",
    modules={**plain_stem(), **stages()},
    fixed_config={"stem": "plain", "avg_down": False},
    assumptions=OF_CLASSIFICATION,
    extra_tensors=classifier("fc"),
    backbone_only=True,
)
