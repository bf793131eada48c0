"""DANet of Tramac's collection (awesome-semantic-segmentation-pytorch).

Their ResNet keeps its ImageNet classifier `pretrained.fc`, which the segmentation network never calls.
Networks trained without `aux` have no classifiers on the branches. Dropout acts on single elements.
"""

from weights_convert.mapping.schema import Assumption, Schema

TRAMAC = Schema(
    name="tramac",
    source="https://github.com/Tramac/awesome-semantic-segmentation-pytorch, core/models/danet.py",
    convolutions={
        "backbone.conv1.conv1": "pretrained.conv1.0",
        "backbone.conv1.conv2": "pretrained.conv1.3",
        "backbone.conv1.conv3": "pretrained.conv1.6",
        "backbone.layer{L}.{i}.conv{c}": "pretrained.layer{L}.{i}.conv{c}",
        "backbone.layer{L}.{i}.downsample.0": "pretrained.layer{L}.{i}.downsample.0",
        "head.position_in.conv": "head.conv_p1.0",
        "head.channel_in.conv": "head.conv_c1.0",
        "head.position_attention.query": "head.pam.conv_b",
        "head.position_attention.key": "head.pam.conv_c",
        "head.position_attention.value": "head.pam.conv_d",
        "head.position_out.conv": "head.conv_p2.0",
        "head.channel_out.conv": "head.conv_c2.0",
        "head.fused_classifier": "head.out.1",
        "head.position_classifier": "head.conv_p3.1",
        "head.channel_classifier": "head.conv_c3.1",
    },
    norms={
        "backbone.conv1.bn1": "pretrained.conv1.1",
        "backbone.conv1.bn2": "pretrained.conv1.4",
        "backbone.bn1": "pretrained.bn1",
        "backbone.layer{L}.{i}.bn{c}": "pretrained.layer{L}.{i}.bn{c}",
        "backbone.layer{L}.{i}.downsample.1": "pretrained.layer{L}.{i}.downsample.1",
        "head.position_in.bn": "head.conv_p1.1",
        "head.channel_in.bn": "head.conv_c1.1",
        "head.position_out.bn": "head.conv_p2.1",
        "head.channel_out.bn": "head.conv_c2.1",
    },
    gammas={
        "head.position_attention.gamma": "head.pam.alpha",
        "head.channel_attention.gamma": "head.cam.beta",
    },
    order=(
        "pretrained.",
        "head.conv_p1.",
        "head.conv_c1.",
        "head.pam.alpha",
        "head.pam.",
        "head.cam.",
        "head.conv_p2.",
        "head.conv_c2.",
        "head.out.",
        "head.conv_p3.",
        "head.conv_c3.",
    ),
    fixed_config={
        "stem": "deep",
        "output_stride": 8,
        "avg_down": False,
        "contract_dilation": True,
        "dropout": "element",
        "dropout_rate": 0.1,
        "upsample_grid": "corners",
        "auxiliary": "none",
    },
    assumptions=(Assumption("multi_grid", None, "an option of their code, off in their DANet"),),
    extra_tensors={
        "pretrained.fc.weight": lambda config: (1000, config.stage_channels[3]),
        "pretrained.fc.bias": lambda config: (1000,),
    },
)
