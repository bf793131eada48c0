"""Canonical names, for files without a manifest.

Our networks give these names if a framework saves them: `torch.save(model.state_dict())`, Keras's
`save_weights`, Orbax's checkpointers.
"""

import re
from typing import get_args

from danet_common import DANetConfig, parameters
from danet_common.config import ContextKind
from weights_convert.mapping.schema import Assumption, Schema

SMALL = DANetConfig(layers=(1, 1, 1, 1))
DEEP = SMALL.replace(stem="deep", stem_widths=(1, 1, 1))
NETWORKS = (  # together they have every module
    *(SMALL.replace(context=(kind,)) for kind in get_args(ContextKind)),
    SMALL.replace(context=("non_local",), non_local_form="concatenation"),
    SMALL.replace(decoder="gating", auxiliary="fcn"),
    DEEP.replace(context=(), auxiliary="linear"),
)
NAMES = {
    re.sub(r"layer[1-4]\.0", "layer{L}.{i}", name): parameter
    for config in NETWORKS
    for name, parameter in parameters(config).items()
}
MODULES = {name.rpartition(".")[0] for name, parameter in NAMES.items() if not parameter.is_factor}


def pools_shortcuts(config: DANetConfig) -> bool:
    """True if the network pools before shortcuts."""
    return config.avg_down


def has_non_local(config: DANetConfig) -> bool:
    """True if the network has a non-local block."""
    return "non_local" in config.context


CANONICAL = Schema(
    name="canonical",
    source="danet_common.config.parameters",
    modules={module: module for module in MODULES},
    gammas={name: name for name, parameter in NAMES.items() if parameter.is_factor},
    assumptions=(
        Assumption("multi_grid", None, "it changes no tensor"),
        Assumption("upsample_grid", "corners", "it changes no tensor"),
        Assumption("avg_down", False, "it changes no tensor"),
        Assumption("avg_down_dilated", False, "it changes no tensor", pools_shortcuts),
        Assumption("non_local_form", "embedded_gaussian", "dot_product has the same tensors", has_non_local),
        Assumption("non_local_pooled", False, "it changes no tensor", has_non_local),
    ),
)
