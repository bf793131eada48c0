"""timm's ResNets: classification networks; DANet uses the backbone.

`resnet50` has torchvision's names. `resnet50c`, `50d` and `50s` have a deep stem in `conv1` (widths 32,32,64;
64,64,128 for s). `50d` pools before the shortcut's convolution, which is `downsample.1`; where
dilation replaces a stride, it pools at stride 1 (AvgPool2dSame).
"""

from dataclasses import replace

from danet_common import DANetConfig
from weights_convert.mapping.schema import Assumption, Schema
from weights_convert.schemas.resnet import deep_stem, stages
from weights_convert.schemas.torchvision import TORCHVISION


def is_dilated(config: DANetConfig) -> bool:
    """True if dilation replaces a stride."""
    return config.output_stride < 32


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
    assumptions=(
        *PLAIN.assumptions,
        Assumption("avg_down_dilated", is_dilated, "timm's own dilated networks pool those shortcuts too", is_dilated),
    ),
)
TIMM: tuple[Schema, ...] = (PLAIN, DEEP, POOLED)
