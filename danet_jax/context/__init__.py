"""The modules that the branches of DANet's head may have, one file each, and the kind that names each of them."""

from __future__ import annotations

from typing import Any

from flax import nnx

from danet_common.config import ContextKind, DANetConfig
from danet_common.config.context_kinds import context_arguments
from danet_common.config.layer_set import LayerSet
from danet_jax.attention import ChannelAttention, PositionAttention
from danet_jax.context.bam import BAM
from danet_jax.context.cbam import CBAM
from danet_jax.context.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_jax.context.criss_cross import CrissCrossAttention
from danet_jax.context.joint_attention import JointChannelAttention, JointPositionAttention
from danet_jax.context.non_local import NonLocal
from danet_jax.context.selective_kernel import SelectiveKernel
from danet_jax.context.self_attention import SelfAttention
from danet_jax.context.squeeze_excitation import SqueezeExcitation

MODULES: dict[ContextKind, type[Any]] = {
    "position": PositionAttention,
    "channel": ChannelAttention,
    "squeeze_excitation": SqueezeExcitation,
    "cbam": CBAM,
    "bam": BAM,
    "selective_kernel": SelectiveKernel,
    "non_local": NonLocal,
    "self_attention": SelfAttention,
    "joint_position": JointPositionAttention,
    "joint_channel": JointChannelAttention,
    "compact_position": CompactPositionAttention,
    "compact_channel": CompactChannelAttention,
    "criss_cross": CrissCrossAttention,
}


def context_module(kind: ContextKind, config: DANetConfig, layers: LayerSet) -> nnx.Module:
    """Return a new module of a kind, of the head's channels."""
    return layers.remat(MODULES[kind])(*context_arguments(kind, config), layers)
