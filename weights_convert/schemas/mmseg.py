"""MMSegmentation's DANet (DAHead on a dilated ResNet), in files since MMCV 1.x.

MMEngine writes {"meta", "state_dict", "message_hub", "optimizer", "param_schedulers"}, and MMCV 1.x writes
{"meta", "state_dict", "optimizer"}. `mmseg_metadata` reads `meta`; the reader drops the trainer's other state.
Both have equal names. The backbones differ: ResNet (7x7 stem), ResNetV1c (deep stem), and ResNetV1d (deep stem
and pooled shortcuts, whose convolution is `downsample.1`).
"""

from dataclasses import replace

from weights_convert.mapping.schema import Assumption, Schema
from weights_convert.schemas.mmseg_metadata import from_metadata, trainer_object

DEEP_STEM = {
    "backbone.conv1.conv1": "backbone.stem.0",
    "backbone.conv1.conv2": "backbone.stem.3",
    "backbone.conv1.conv3": "backbone.stem.6",
}
DEEP_STEM_NORMS = {
    "backbone.conv1.bn1": "backbone.stem.1",
    "backbone.conv1.bn2": "backbone.stem.4",
    "backbone.bn1": "backbone.stem.7",
}
STAGES = {"backbone.layer{L}.{i}.conv{c}": "backbone.layer{L}.{i}.conv{c}"}
STAGE_NORMS = {"backbone.layer{L}.{i}.bn{c}": "backbone.layer{L}.{i}.bn{c}"}
SHORTCUT, SHORTCUT_NORM = "backbone.layer{L}.{i}.downsample.0", "backbone.layer{L}.{i}.downsample.1"
POOLED_SHORTCUT_NORM = "backbone.layer{L}.{i}.downsample.2"
HEAD = {
    "head.position_in.conv": "decode_head.pam_in_conv.conv",
    "head.position_attention.query": "decode_head.pam.query_project",
    "head.position_attention.key": "decode_head.pam.key_project",
    "head.position_attention.value": "decode_head.pam.value_project",
    "head.position_out.conv": "decode_head.pam_out_conv.conv",
    "head.channel_in.conv": "decode_head.cam_in_conv.conv",
    "head.channel_out.conv": "decode_head.cam_out_conv.conv",
    "head.fused_classifier": "decode_head.conv_seg",
    "head.position_classifier": "decode_head.pam_conv_seg",
    "head.channel_classifier": "decode_head.cam_conv_seg",
    "auxiliary.hidden.conv": "auxiliary_head.convs.0.conv",
    "auxiliary.classifier": "auxiliary_head.conv_seg",
}
HEAD_NORMS = {
    "head.position_in.bn": "decode_head.pam_in_conv.bn",
    "head.position_out.bn": "decode_head.pam_out_conv.bn",
    "head.channel_in.bn": "decode_head.cam_in_conv.bn",
    "head.channel_out.bn": "decode_head.cam_out_conv.bn",
    "auxiliary.hidden.bn": "auxiliary_head.convs.0.bn",
}
NO_CONFIG = "only the configuration in a file's meta does, and this one has none"

V1C = Schema(
    name="mmseg",
    source="https://github.com/open-mmlab/mmsegmentation, mmseg/models/decode_heads/da_head.py, version 1.2.2",
    layout="ResNetV1c",
    convolutions={**DEEP_STEM, **STAGES, SHORTCUT: SHORTCUT, **HEAD},
    norms={**DEEP_STEM_NORMS, **STAGE_NORMS, SHORTCUT_NORM: SHORTCUT_NORM, **HEAD_NORMS},
    gammas={
        "head.position_attention.gamma": "decode_head.pam.gamma.scale",
        "head.channel_attention.gamma": "decode_head.cam.gamma.scale",
    },
    gamma_shape=(),
    order=(
        "backbone.",
        "decode_head.conv_seg.",
        "decode_head.pam_in_conv.",
        "decode_head.pam.key_project.",
        "decode_head.pam.query_project.",
        "decode_head.pam.value_project.",
        "decode_head.pam.gamma.",
        "decode_head.pam_out_conv.",
        "decode_head.pam_conv_seg.",
        "decode_head.cam_in_conv.",
        "decode_head.cam.",
        "decode_head.cam_out_conv.",
        "decode_head.cam_conv_seg.",
        "auxiliary_head.conv_seg.",
    ),
    fixed_config={
        "block": "bottleneck",  # its BasicBlock does not dilate the second convolution; ours does
        "stem": "deep",
        "avg_down": False,
        "dropout": "channel",
    },
    allowed_config={
        "auxiliary": ("none", "fcn"),
        "upsample_grid": ("half_pixel", "corners"),
        "branch_classifiers": (True,),
    },
    assumptions=(
        Assumption("upsample_grid", "half_pixel", f"{NO_CONFIG}; the networks of the 769 crops have corners"),
        Assumption("output_stride", 8, f"{NO_CONFIG}; their DANets (d8) all have 8"),
        Assumption("multi_grid", None, f"{NO_CONFIG}; their DANets have none"),
        Assumption("contract_dilation", True, f"{NO_CONFIG}; their DANets all contract"),
    ),
    from_metadata=from_metadata,
    wrap_state_dict=trainer_object,
)
PLAIN = replace(
    V1C,
    layout="ResNet",
    convolutions={"backbone.conv1": "backbone.conv1", **STAGES, SHORTCUT: SHORTCUT, **HEAD},
    norms={"backbone.bn1": "backbone.bn1", **STAGE_NORMS, SHORTCUT_NORM: SHORTCUT_NORM, **HEAD_NORMS},
    fixed_config={**V1C.fixed_config, "stem": "plain"},
)
V1D = replace(
    V1C,
    layout="ResNetV1d",
    convolutions={**DEEP_STEM, **STAGES, SHORTCUT: SHORTCUT_NORM, **HEAD},  # downsample.0 is the pool
    norms={**DEEP_STEM_NORMS, **STAGE_NORMS, SHORTCUT_NORM: POOLED_SHORTCUT_NORM, **HEAD_NORMS},
    fixed_config={**V1C.fixed_config, "avg_down": True},
)
MMSEG: tuple[Schema, ...] = (V1C, PLAIN, V1D)
