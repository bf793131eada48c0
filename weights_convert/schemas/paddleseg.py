"""PaddleSeg's DANet on ResNet_vd, from `.pdparams` files.

The network differs in more than names:

- Shortcuts with a stride pool first (vd).
- The first block of a dilated stage has the full dilation of the stage.
- Upsampling is Paddle's align_mode=1.
- The head's 3x3 convolutions have a bias, which shifts the mean of the next BatchNorm.
- Position and channel logits come from one classifier, `aux_head_cam`; the network never uses `aux_head_pam`.
- Dropout is Dropout2D.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from danet_common import DANetConfig
from weights_convert.mapping.schema import Assumption, Schema
from weights_convert.schemas.resnet import blocks

BLOCKS = {
    "head.channel_in": "head.channel_conv",
    "head.position_in": "head.position_conv",
    "head.channel_out": "head.conv1",
    "head.position_out": "head.conv2",
}
NAME_TABLE = "StructuredToParameterName@@"
LAYERS = {"_batch_norm": "batch_norm2d", "pam": "pam", "cam": "cam", "out": "linear"}
LEAVES = {"weight": "w_0", "bias": "b_0", "_mean": "w_1", "_variance": "w_2", "gamma": "w_0"}


def with_name_table(state_dict: Mapping[str, np.ndarray], config: DANetConfig) -> dict[str, Any]:
    """Return the object of `paddle.save`: the tensors, and Paddle's internal names.

    Paddle counts the layers of each class in the order of the tensors.
    """
    layers: dict[str, str] = {}
    counts: dict[str, int] = {}
    names = {}
    for key in state_dict:
        path, _, leaf = key.rpartition(".")
        if path not in layers:
            kind = LAYERS.get(path.rpartition(".")[2], "conv2d")
            layers[path] = f"{kind}_{counts.get(kind, 0)}"
            counts[kind] = counts.get(kind, 0) + 1
        names[key] = f"{layers[path]}.{LEAVES[leaf]}"
    return {**state_dict, NAME_TABLE: names}


PADDLESEG = Schema(
    name="paddleseg",
    source="https://github.com/PaddlePaddle/PaddleSeg, paddleseg/models/danet.py, version 2.8",
    modules={
        "backbone.conv1.conv1": "backbone.conv1_1._conv",
        "backbone.conv1.bn1": "backbone.conv1_1._batch_norm",
        "backbone.conv1.conv2": "backbone.conv1_2._conv",
        "backbone.conv1.bn2": "backbone.conv1_2._batch_norm",
        "backbone.conv1.conv3": "backbone.conv1_3._conv",
        "backbone.bn1": "backbone.conv1_3._batch_norm",
        "backbone.layer{L}.{i}.conv{c}": "backbone.bb_{L-1}_{i}.conv{c-1}._conv",
        "backbone.layer{L}.{i}.bn{c}": "backbone.bb_{L-1}_{i}.conv{c-1}._batch_norm",
        "backbone.layer{L}.{i}.downsample.0": "backbone.bb_{L-1}_{i}.short._conv",
        "backbone.layer{L}.{i}.downsample.1": "backbone.bb_{L-1}_{i}.short._batch_norm",
        **blocks(BLOCKS, "_conv", "_batch_norm"),
        "head.position_attention.query": "head.pam.query_conv",
        "head.position_attention.key": "head.pam.key_conv",
        "head.position_attention.value": "head.pam.value_conv",
        "auxiliary.classifier": "head.aux_head.1",
        "head.channel_classifier": "head.aux_head_cam.1",
        "head.fused_classifier": "head.cls_head.1",
    },
    gammas={
        "head.position_attention.gamma": "head.pam.gamma",
        "head.channel_attention.gamma": "head.cam.gamma",
    },
    norm_leaves={"scale": "weight", "shift": "bias", "mean": "_mean", "variance": "_variance"},
    tied_modules={"head.position_classifier": "head.channel_classifier"},
    absorbed_biases={f"{layer}._conv.bias": f"{layer}._batch_norm._mean" for layer in BLOCKS.values()},
    order=(
        "backbone.",
        "head.channel_conv._conv.",
        "head.channel_conv.",
        "head.position_conv._conv.",
        "head.position_conv.",
        "head.pam.gamma",
        "head.pam.",
        "head.cam.",
        "head.conv1._conv.",
        "head.conv1.",
        "head.conv2._conv.",
        "head.conv2.",
        "head.aux_head.",
        "head.aux_head_pam.",
        "head.aux_head_cam.",
        "head.cls_head.",
    ),
    fixed_config={
        "block": "bottleneck",  # its smaller networks project the shortcut of layer1.0; ours do not
        "stem": "deep",
        "avg_down": True,
        "avg_down_dilated": False,
        "contract_dilation": False,
        "dropout": "channel",
        "dropout_rate": 0.1,
        "auxiliary": "linear",
        "branch_classifiers": True,
    },
    assumptions=(
        Assumption("upsample_grid", "asymmetric", "their configurations have align_corners off"),
        Assumption("output_stride", 8, "their DANets all have 8"),
        Assumption("multi_grid", None, "their DANets have none"),
        Assumption("mean", lambda config: (0.5,) * config.in_channels, "the default of their transform is 0.5"),
        Assumption("std", lambda config: (0.5,) * config.in_channels, "the default of their transform is 0.5"),
    ),
    allowed_config={"upsample_grid": ("asymmetric", "corners")},
    extra_tensors={
        "head.aux_head_pam.1.weight": lambda config: (config.num_classes, config.inner_channels, 1, 1),
        "head.aux_head_pam.1.bias": lambda config: (config.num_classes,),
    },
    notes=("position_classifier: a copy of channel_classifier; their network uses aux_head_cam for both branches",),
    wrap_state_dict=with_name_table,
    formats=("pickle",),
)
