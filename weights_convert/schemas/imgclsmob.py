"""imgclsmob's DANet, danet_resnetd50b and 101b, from its packages pytorchcv (PyTorch) and tf2cv (TensorFlow).

The backbone is its resnetd without the last entry. After the deletion of an entry, older versions of torch keep
the other names of a Sequential (`backbone.init_block`, `backbone.stage1`). Versions since 1.13 number the entries
(`backbone.0`, `backbone.1`). Published files have the former names, new files the latter. Dropout acts on single
elements after the classifiers; this matters in training only.

tf2cv's weights files can be read, not written: `keras2_hdf5` returns their names with dots.
"""

from dataclasses import replace

from weights_convert.mapping.schema import Schema


def _backbone_names(stem: str, stage: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return tables of the backbone's convolutions and BatchNorms, from the names of stem and stages."""
    rows = {
        "backbone.conv1.{}1": f"{stem}.conv1",
        "backbone.conv1.{}2": f"{stem}.conv2",
        "backbone.layer{{L}}.{{i}}.{}{{c}}": f"{stage}.unit{{i+1}}.body.conv{{c}}",
    }
    convolutions = {ours.format("conv"): f"{theirs}.conv" for ours, theirs in rows.items()}
    norms = {ours.format("bn"): f"{theirs}.bn" for ours, theirs in rows.items()}
    shortcut = f"{stage}.unit{{i+1}}.identity_conv"
    convolutions |= {
        "backbone.conv1.conv3": f"{stem}.conv3.conv",
        "backbone.layer{L}.{i}.downsample.0": f"{shortcut}.conv",
    }
    norms |= {"backbone.bn1": f"{stem}.conv3.bn", "backbone.layer{L}.{i}.downsample.1": f"{shortcut}.bn"}
    return convolutions, norms


HEAD = {
    "head.position_in.conv": "head.branch_pa.conv1.conv",
    "head.position_attention.query": "head.branch_pa.att.query_conv",
    "head.position_attention.key": "head.branch_pa.att.key_conv",
    "head.position_attention.value": "head.branch_pa.att.value_conv",
    "head.position_out.conv": "head.branch_pa.conv2.conv",
    "head.position_classifier": "head.branch_pa.conv3",
    "head.channel_in.conv": "head.branch_ca.conv1.conv",
    "head.channel_out.conv": "head.branch_ca.conv2.conv",
    "head.channel_classifier": "head.branch_ca.conv3",
    "head.fused_classifier": "head.conv",
}
HEAD_NORMS = {
    "head.position_in.bn": "head.branch_pa.conv1.bn",
    "head.position_out.bn": "head.branch_pa.conv2.bn",
    "head.channel_in.bn": "head.branch_ca.conv1.bn",
    "head.channel_out.bn": "head.branch_ca.conv2.bn",
}
NUMBERED, NUMBERED_NORMS = _backbone_names("backbone.0", "backbone.{L}")
NAMED, NAMED_NORMS = _backbone_names("backbone.init_block", "backbone.stage{L}")

SINCE_TORCH_1_13 = Schema(
    name="imgclsmob",
    source="https://github.com/osmr/imgclsmob, pytorchcv/models/danet.py and resnetd.py, version 0.0.74",
    layout="numbered",
    convolutions={**NUMBERED, **HEAD},
    norms={**NUMBERED_NORMS, **HEAD_NORMS},
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
        "block": "bottleneck",
        "stem": "deep",
        "output_stride": 8,
        "avg_down": False,
        "multi_grid": None,
        "contract_dilation": True,
        "dropout": "element",
        "dropout_rate": 0.1,
        "upsample_grid": "corners",
        "auxiliary": "none",
        "branch_classifiers": True,
    },
    formats=("torch", "safetensors"),
)
BEFORE_TORCH_1_13 = replace(
    SINCE_TORCH_1_13,
    layout="named",
    convolutions={**NAMED, **HEAD},
    norms={**NAMED_NORMS, **HEAD_NORMS},
)
FEATURES = "features.features.features"
SCOPED, SCOPED_NORMS = _backbone_names(f"{FEATURES}.init_block", f"{FEATURES}.stage{{L}}.stage{{L}}")
TF2CV = replace(
    SINCE_TORCH_1_13,
    source="https://github.com/osmr/imgclsmob, tf2cv/models/danet.py and resnetd.py, version 0.0.18",
    layout="tf2cv",
    convolutions={ours: f"{theirs}.conv" for ours, theirs in SCOPED.items()}
    | {ours: f"head.{theirs}.conv" for ours, theirs in HEAD.items()},
    norms={**SCOPED_NORMS, **{ours: f"head.{theirs}" for ours, theirs in HEAD_NORMS.items()}},
    gammas={ours: f"head.{theirs}" for ours, theirs in SINCE_TORCH_1_13.gammas.items()},
    norm_leaves={"scale": "gamma", "shift": "beta", "mean": "moving_mean", "variance": "moving_variance"},
    fixed_config={**SINCE_TORCH_1_13.fixed_config, "upsample_grid": "half_pixel"},  # tf.image.resize, unlike pytorchcv
    formats=(),
)
IMGCLSMOB: tuple[Schema, ...] = (SINCE_TORCH_1_13, BEFORE_TORCH_1_13, TF2CV)
