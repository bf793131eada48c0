"""DANet of Tramac's collection (awesome-semantic-segmentation-pytorch).

Their ResNet keeps its ImageNet classifier `pretrained.fc`, which the segmentation network never calls.
Networks trained without `aux` have no classifiers on the branches. Dropout acts on single elements.
"""

from weights_convert.mapping.schema import Assumption, Schema
from weights_convert.schemas.official import OFFICIAL
from weights_convert.schemas.resnet import blocks, classifier, deep_stem, stages

TRAMAC = Schema(
    name="tramac",
    source="https://github.com/Tramac/awesome-semantic-segmentation-pytorch, core/models/danet.py",
    modules={
        **deep_stem("pretrained.conv1", "pretrained.bn1"),
        **stages("pretrained."),
        **blocks(
            {
                "head.position_in": "head.conv_p1",
                "head.channel_in": "head.conv_c1",
                "head.position_out": "head.conv_p2",
                "head.channel_out": "head.conv_c2",
            },
            "0",
            "1",
        ),
        "head.position_attention.query": "head.pam.conv_b",
        "head.position_attention.key": "head.pam.conv_c",
        "head.position_attention.value": "head.pam.conv_d",
        "head.fused_classifier": "head.out.1",
        "head.position_classifier": "head.conv_p3.1",
        "head.channel_classifier": "head.conv_c3.1",
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
    fixed_config={**OFFICIAL.fixed_config, "stem": "deep", "dropout": "element"},
    assumptions=(Assumption("multi_grid", None, "an option of their code, off in their DANet"),),
    extra_tensors=classifier("pretrained.fc"),
)
