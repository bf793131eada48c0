"""imgclsmob's DANet, danet_resnetd50b and 101b, from its packages pytorchcv (PyTorch) and tf2cv (TensorFlow).

The backbone is its resnetd without the last entry. After the deletion of an entry, older versions of torch keep
the other names of a Sequential (`backbone.init_block`, `backbone.stage1`). Versions since 1.13 number the entries
(`backbone.0`, `backbone.1`). Published files have the former names, new files the latter. Dropout acts on single
elements after the classifiers; this matters in training only.

tf2cv's weights files can be read, not written: `keras2_hdf5` returns their names with dots.
"""

from dataclasses import replace

from weights_convert.mapping.schema import Schema
from weights_convert.schemas.official import OFFICIAL
from weights_convert.schemas.resnet import blocks


def _backbone(stem: str, stage: str) -> dict[str, str]:
    """Return the backbone's names, from those of stem and stages."""
    return {
        "backbone.conv1.conv{c}": f"{stem}.conv{{c}}.conv",
        "backbone.conv1.bn1": f"{stem}.conv1.bn",
        "backbone.conv1.bn2": f"{stem}.conv2.bn",
        "backbone.bn1": f"{stem}.conv3.bn",
        "backbone.layer{L}.{i}.conv{c}": f"{stage}.unit{{i+1}}.body.conv{{c}}.conv",
        "backbone.layer{L}.{i}.bn{c}": f"{stage}.unit{{i+1}}.body.conv{{c}}.bn",
        "backbone.layer{L}.{i}.downsample.0": f"{stage}.unit{{i+1}}.identity_conv.conv",
        "backbone.layer{L}.{i}.downsample.1": f"{stage}.unit{{i+1}}.identity_conv.bn",
    }


BLOCKS = {
    "head.position_in": "head.branch_pa.conv1",
    "head.position_out": "head.branch_pa.conv2",
    "head.channel_in": "head.branch_ca.conv1",
    "head.channel_out": "head.branch_ca.conv2",
}
CONVOLUTIONS = {
    "head.position_attention.query": "head.branch_pa.att.query_conv",
    "head.position_attention.key": "head.branch_pa.att.key_conv",
    "head.position_attention.value": "head.branch_pa.att.value_conv",
    "head.position_classifier": "head.branch_pa.conv3",
    "head.channel_classifier": "head.branch_ca.conv3",
    "head.fused_classifier": "head.conv",
}
HEAD = {**blocks(BLOCKS, "conv", "bn"), **CONVOLUTIONS}

SINCE_TORCH_1_13 = Schema(
    name="imgclsmob",
    source="https://github.com/osmr/imgclsmob, pytorchcv/models/danet.py and resnetd.py, version 0.0.74",
    layout="numbered",
    modules={**_backbone("backbone.0", "backbone.{L}"), **HEAD},
    gammas={
        "head.position_attention.gamma": "head.branch_pa.att.scale.alpha",
        "head.channel_attention.gamma": "head.branch_ca.att.scale.alpha",
    },
    order=(
        "backbone.",
        "head.branch_pa.conv1.",
        "head.branch_pa.att.query_conv.",
        "head.branch_pa.att.key_conv.",
        "head.branch_pa.att.value_conv.",
        "head.branch_pa.att.scale.",
        "head.branch_pa.conv2.",
        "head.branch_pa.conv3.",
        "head.branch_ca.conv1.",
        "head.branch_ca.att.",
        "head.branch_ca.conv2.",
        "head.branch_ca.conv3.",
        "head.conv.",
    ),
    fixed_config={
        **OFFICIAL.fixed_config,
        "block": "bottleneck",
        "stem": "deep",
        "multi_grid": None,
        "dropout": "element",
        "branch_classifiers": True,
    },
    formats=("torch", "safetensors"),
)
BEFORE_TORCH_1_13 = replace(
    SINCE_TORCH_1_13,
    layout="named",
    modules={**_backbone("backbone.init_block", "backbone.stage{L}"), **HEAD},
)
FEATURES = "features.features.features"
TF2CV = replace(
    SINCE_TORCH_1_13,
    source="https://github.com/osmr/imgclsmob, tf2cv/models/danet.py and resnetd.py, version 0.0.18",
    layout="tf2cv",
    modules={
        **{
            ours: f"{theirs}.conv" if theirs.endswith("conv") else theirs
            for ours, theirs in _backbone(f"{FEATURES}.init_block", f"{FEATURES}.stage{{L}}.stage{{L}}").items()
        },
        **blocks({ours: f"head.{theirs}" for ours, theirs in BLOCKS.items()}, "conv.conv", "bn"),
        **{ours: f"head.{theirs}.conv" for ours, theirs in CONVOLUTIONS.items()},
    },
    gammas={ours: f"head.{theirs}" for ours, theirs in SINCE_TORCH_1_13.gammas.items()},
    norm_leaves={"scale": "gamma", "shift": "beta", "mean": "moving_mean", "variance": "moving_variance"},
    fixed_config={**SINCE_TORCH_1_13.fixed_config, "upsample_grid": "half_pixel"},  # tf.image.resize, unlike pytorchcv
    formats=(),
)
IMGCLSMOB: tuple[Schema, ...] = (SINCE_TORCH_1_13, BEFORE_TORCH_1_13, TF2CV)
