"""Canonical names, for files without a manifest.

Our networks give these names if a framework saves them: `torch.save(model.state_dict())`, Keras's
`save_weights`, Orbax's checkpointers.
"""

from typing import get_args

from danet_common.config import ContextKind, DANetConfig, NonLocalForm
from danet_common.config.context_kinds import CONTEXT
from weights_convert.mapping.schema import Assumption, Schema

KINDS = get_args(ContextKind)
# The tensors of every context module, in every form.
ATTENTION = [
    tensor
    for kind in KINDS
    for form in get_args(NonLocalForm)
    for tensor in CONTEXT[kind].tensors(DANetConfig(non_local_form=form), f"head.{kind}_attention")
]
MODULES = (
    "backbone.conv1",
    "backbone.conv1.conv{c}",
    "backbone.layer{L}.{i}.conv{c}",
    "backbone.layer{L}.{i}.downsample.0",
    *(f"head.{kind}_{place}.conv" for kind in KINDS for place in ("in", "out")),
    *(f"head.{kind}_classifier" for kind in KINDS),
    "head.plain_out.conv",
    "head.merged.conv",
    *(f"head.decoder.{part}.conv" for part in ("low", "joined", "out")),
    "head.decoder.gate",
    "head.fused_classifier",
    "auxiliary.hidden.conv",
    "auxiliary.classifier",
    "backbone.conv1.bn{c}",
    "backbone.bn1",
    "backbone.layer{L}.{i}.bn{c}",
    "backbone.layer{L}.{i}.downsample.1",
    *(f"head.{kind}_{place}.bn" for kind in KINDS for place in ("in", "out")),
    "head.plain_out.bn",
    "head.merged.bn",
    *(f"head.decoder.{part}.bn" for part in ("low", "joined", "out")),
    "auxiliary.hidden.bn",
    *(tensor.name.rpartition(".")[0] for tensor in ATTENTION if not tensor.is_factor),
)
GAMMAS = (*(tensor.name for tensor in ATTENTION if tensor.is_factor), "head.decoder.gain")


def has_non_local(config: DANetConfig) -> bool:
    """True if the network has a non-local block."""
    return "non_local" in config.context


CANONICAL = Schema(
    name="canonical",
    source="danet_common.config.parameters",
    modules={name: name for name in MODULES},
    gammas={name: name for name in GAMMAS},
    assumptions=(
        Assumption("multi_grid", None, "it changes no tensor"),
        Assumption("upsample_grid", "corners", "it changes no tensor"),
        Assumption("avg_down", False, "it changes no tensor"),
        Assumption("non_local_form", "embedded_gaussian", "dot_product has the same tensors", has_non_local),
        Assumption("non_local_pooled", False, "it changes no tensor", has_non_local),
    ),
)
