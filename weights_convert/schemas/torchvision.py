"""torchvision's ResNets: classification networks; DANet uses the backbone.

The names are those of `torchvision/models/resnet.py`. The classifier `fc` becomes an extra tensor.
"""

from weights_convert.mapping.schema import Assumption, Schema

TORCHVISION = Schema(
    name="torchvision",
    source="https://github.com/pytorch/vision, torchvision/models/resnet.py",
    convolutions={
        "backbone.conv1": "conv1",
        "backbone.layer{L}.{i}.conv{c}": "layer{L}.{i}.conv{c}",
        "backbone.layer{L}.{i}.downsample.0": "layer{L}.{i}.downsample.0",
    },
    norms={
        "backbone.bn1": "bn1",
        "backbone.layer{L}.{i}.bn{c}": "layer{L}.{i}.bn{c}",
        "backbone.layer{L}.{i}.downsample.1": "layer{L}.{i}.downsample.1",
    },
    fixed_config={"stem": "plain", "avg_down": False},
    assumptions=(
        Assumption("output_stride", 8, "the classification network has 32; DANet removes strides"),
        Assumption("multi_grid", None, "the classification network has no dilation"),
    ),
    extra_tensors={
        "fc.weight": lambda config: (1000, config.stage_channels[3]),
        "fc.bias": lambda config: (1000,),
    },
    backbone_only=True,
)
