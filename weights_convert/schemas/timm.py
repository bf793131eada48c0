"""timm's ResNets: classification networks; DANet uses the backbone.

`resnet50` has torchvision's names. `resnet50c`, `50d` and `50s` have a deep stem in `conv1` (widths 32,32,64;
64,64,128 for s). `50d` pools before the shortcut's convolution, which is `downsample.1`.
"""

from dataclasses import replace

from weights_convert.mapping.schema import Schema
from weights_convert.schemas.torchvision import TORCHVISION

PLAIN = replace(
    TORCHVISION,
    name="timm",
    source="https://github.com/huggingface/pytorch-image-models, timm/models/resnet.py, version 1.0",
    layout="plain",
)
STAGES = {"backbone.layer{L}.{i}.conv{c}": "layer{L}.{i}.conv{c}"}
STEM = {
    "backbone.conv1.conv1": "conv1.0",
    "backbone.conv1.conv2": "conv1.3",
    "backbone.conv1.conv3": "conv1.6",
}
NORMS = {
    "backbone.conv1.bn1": "conv1.1",
    "backbone.conv1.bn2": "conv1.4",
    "backbone.bn1": "bn1",
    "backbone.layer{L}.{i}.bn{c}": "layer{L}.{i}.bn{c}",
}
DEEP = replace(
    PLAIN,
    layout="c or s",
    convolutions={**STEM, **STAGES, "backbone.layer{L}.{i}.downsample.0": "layer{L}.{i}.downsample.0"},
    norms={**NORMS, "backbone.layer{L}.{i}.downsample.1": "layer{L}.{i}.downsample.1"},
    fixed_config={"stem": "deep", "avg_down": False},
)
POOLED = replace(
    DEEP,
    layout="d",
    convolutions={**STEM, **STAGES, "backbone.layer{L}.{i}.downsample.0": "layer{L}.{i}.downsample.1"},
    norms={**NORMS, "backbone.layer{L}.{i}.downsample.1": "layer{L}.{i}.downsample.2"},
    fixed_config={"stem": "deep", "avg_down": True},
    notes=(
        "shortcuts: where a stride became dilation (output stride 8 or 16), timm's own dilated networks still pool, at "
        "stride 1; DANet does not, as the authors' backbones do not",
    ),
)
TIMM: tuple[Schema, ...] = (PLAIN, DEEP, POOLED)
