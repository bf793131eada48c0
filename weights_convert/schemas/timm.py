"""timm's ResNets: classification networks; DANet uses the backbone.

`resnet50` has torchvision's names. `resnet50c`, `50d` and `50s` have a deep stem in `conv1` (widths 32,32,64;
64,64,128 for s). `50d` pools before the shortcut's convolution, which is `downsample.1`.
"""

from dataclasses import replace

from weights_convert.mapping.schema import Schema
from weights_convert.schemas.resnet import deep_stem, stages
from weights_convert.schemas.torchvision import TORCHVISION

PLAIN = replace(
    TORCHVISION,
    name="timm",
    source="https://github.com/huggingface/pytorch-image-models, timm/models/resnet.py, version 1.0",
    layout="plain",
)
DEEP = replace(
    PLAIN,
    layout="c or s",
    modules={**deep_stem("conv1", "bn1"), **stages()},
    fixed_config={"stem": "deep", "avg_down": False},
)
POOLED = replace(
    DEEP,
    layout="d",
    modules={**deep_stem("conv1", "bn1"), **stages(shortcut=1)},
    fixed_config={"stem": "deep", "avg_down": True},
    notes=(
        "shortcuts: where a stride became dilation (output stride 8 or 16), timm's own dilated networks still pool, at "
        "stride 1; DANet does not, as the authors' backbones do not",
    ),
)
TIMM: tuple[Schema, ...] = (PLAIN, DEEP, POOLED)
