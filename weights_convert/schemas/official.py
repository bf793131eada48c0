"""DANet checkpoints of the authors.

Their published Cityscapes model has a plain stem and layer4 dilations 4, 8, 16. The default of their code is the
deep stem without multi-grid. A file does not contain its dilations, so the stem decides unless a setting does.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from danet_common import DANetConfig
from weights_convert.mapping.schema import Assumption, Schema
from weights_convert.schemas.resnet import blocks, deep_stem, plain_stem, stages


def published_multi_grid(config: DANetConfig) -> tuple[int, ...] | None:
    """Return the factors on layer4's dilation of 4 at output stride 8."""
    return (1, 2, 4) if config.stem == "plain" else None


def trainer_object(state_dict: Mapping[str, np.ndarray], config: DANetConfig) -> dict[str, Any]:
    """Return the object from which their trainer resumes, without the optimizer's state."""
    return {"epoch": 0, "state_dict": dict(state_dict), "optimizer": None, "best_pred": 0.0}


OFFICIAL = Schema(
    name="official",
    source="https://github.com/junfu1115/DANet, encoding/models/sseg/danet.py",
    modules={
        **plain_stem("pretrained."),
        **deep_stem("pretrained.conv1", "pretrained.bn1"),
        **stages("pretrained."),
        **blocks(
            {
                "head.position_in": "head.conv5a",
                "head.channel_in": "head.conv5c",
                "head.position_out": "head.conv51",
                "head.channel_out": "head.conv52",
            },
            "0",
            "1",
        ),
        "head.position_attention.query": "head.sa.query_conv",
        "head.position_attention.key": "head.sa.key_conv",
        "head.position_attention.value": "head.sa.value_conv",
        "head.position_classifier": "head.conv6.1",
        "head.channel_classifier": "head.conv7.1",
        "head.fused_classifier": "head.conv8.1",
    },
    gammas={
        "head.position_attention.gamma": "head.sa.gamma",
        "head.channel_attention.gamma": "head.sc.gamma",
    },
    order=(
        "pretrained.",
        "head.conv5a.",
        "head.conv5c.",
        "head.sa.gamma",
        "head.sa.",
        "head.sc.",
        "head.conv51.",
        "head.conv52.",
        "head.conv6.",
        "head.conv7.",
        "head.conv8.",
    ),
    fixed_config={
        "output_stride": 8,
        "avg_down": False,
        "contract_dilation": True,
        "dropout": "channel",
        "dropout_rate": 0.1,
        "upsample_grid": "corners",
        "auxiliary": "none",
    },
    assumptions=(
        Assumption(
            "multi_grid",
            published_multi_grid,
            "their published training has 1,2,4 (layer4 dilations 4,8,16) with the plain stem; "
            "their code's default, with the deep stem, is none",
        ),
    ),
    wrap_state_dict=trainer_object,
)
