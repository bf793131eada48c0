"""GluonCV's DANet on its resnet-v1s, from the `.params` files of Gluon's `save_parameters`.

The names are the authors' without `pretrained.`. The released network has no dropout: it is commented out. A
classifier is entry 0 of its Sequential in the released version, and entry 1 in versions with dropout.
"""

from dataclasses import replace

from weights_convert.mapping.schema import Assumption, Schema
from weights_convert.schemas.official import OFFICIAL

BACKBONE = "pretrained."
CLASSIFIERS = {"position": "head.conv6", "channel": "head.conv7", "fused": "head.conv8"}


def _classifiers(number: int) -> dict[str, str]:
    return {f"head.{output}_classifier": f"{theirs}.{number}" for output, theirs in CLASSIFIERS.items()}


WITHOUT_DROPOUT = Schema(
    name="gluoncv",
    source="https://github.com/dmlc/gluon-cv, gluoncv/model_zoo/danet.py, version 0.10.5",
    layout="without dropout",
    modules={
        **{ours: theirs.removeprefix(BACKBONE) for ours, theirs in OFFICIAL.modules.items()},
        **_classifiers(0),
    },
    gammas=OFFICIAL.gammas,
    norm_leaves={"scale": "gamma", "shift": "beta", "mean": "running_mean", "variance": "running_var"},
    order=("conv1.", "bn1.", "layer", *OFFICIAL.order[1:]),
    fixed_config={
        "block": "bottleneck",  # the head takes 2048 channels
        "output_stride": 8,
        "avg_down": False,
        "multi_grid": None,
        "contract_dilation": True,
        "upsample_grid": "corners",
        "auxiliary": "none",
        "branch_classifiers": True,
    },
    assumptions=(Assumption("dropout_rate", 0.0, "the released network has none"),),
    formats=("mxnet",),
)
WITH_DROPOUT = replace(
    WITHOUT_DROPOUT,
    layout="with dropout",
    modules={**WITHOUT_DROPOUT.modules, **_classifiers(1)},
    assumptions=(Assumption("dropout_rate", 0.1, "the value in their code, commented out"),),
)
GLUONCV: tuple[Schema, ...] = (WITHOUT_DROPOUT, WITH_DROPOUT)
