"""Canonical names, for files without a manifest.

Our networks give these names if a framework saves them: `torch.save(model.state_dict())`, Keras's
`save_weights`, Orbax's checkpointers.
"""

from typing import get_args

from danet_common.config import ContextKind, DANetConfig
from weights_convert.mapping.schema import Assumption, Schema

KINDS = get_args(ContextKind)
MODULES = (
    "backbone.conv1",
    "backbone.conv1.conv{c}",
    "backbone.layer{L}.{i}.conv{c}",
    "backbone.layer{L}.{i}.downsample.0",
    *(f"head.{kind}_{place}.conv" for kind in KINDS for place in ("in", "out")),
    *(f"head.{kind}_classifier" for kind in KINDS),
    "head.position_attention.query",
    "head.position_attention.key",
    "head.position_attention.value",
    *(f"head.{kind}_attention.reduce" for kind in ("squeeze_excitation", "cbam", "bam", "selective_kernel")),
    *(f"head.{kind}_attention.expand" for kind in ("squeeze_excitation", "cbam", "bam")),
    *(f"head.{kind}_attention.projections" for kind in ("joint_position", "joint_channel")),
    *(f"head.non_local_attention.{part}" for part in ("query", "key", "value", "query_score", "key_score", "residual")),
    *(f"head.self_attention_attention.{part}" for part in ("query", "key", "value", "residual")),
    "head.cbam_attention.spatial",
    "head.bam_attention.spatial_reduce",
    "head.bam_attention.spatial_conv{c}",
    "head.bam_attention.spatial_expand",
    "head.selective_kernel_attention.near",
    "head.selective_kernel_attention.far",
    "head.selective_kernel_attention.near_score",
    "head.selective_kernel_attention.far_score",
    "head.compact_position_attention.pool{s}.conv",
    *(f"head.compact_position_attention.{part}" for part in ("query", "key", "value")),
    "head.compact_channel_attention.centres.conv",
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
    "head.non_local_attention.residual_bn",
    "head.bam_attention.expand_bn",
    "head.bam_attention.spatial_bn",
    "head.selective_kernel_attention.near_bn",
    "head.selective_kernel_attention.far_bn",
    "head.selective_kernel_attention.reduce_bn",
    "head.compact_position_attention.pool{s}.bn",
    "head.compact_channel_attention.centres.bn",
    "head.plain_out.bn",
    "head.merged.bn",
    *(f"head.decoder.{part}.bn" for part in ("low", "joined", "out")),
    "auxiliary.hidden.bn",
)
GAMMAS = (
    *(f"head.{form}{kind}_attention.gamma" for form in ("", "joint_", "compact_") for kind in ("position", "channel")),
    "head.self_attention_attention.gamma",
    "head.decoder.gain",
)


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
