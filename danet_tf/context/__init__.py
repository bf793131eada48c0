"""The modules that the branches of DANet's head may have, one file each, and the kind that names each of them."""

from __future__ import annotations

from typing import Any

from danet_common.config import ContextKind, DANetConfig
from danet_common.config.context_kinds import context_arguments
from danet_common.config.layer_set import LayerSet
from danet_tf.attention import ChannelAttention, PositionAttention
from danet_tf.context.bam import BAM
from danet_tf.context.cbam import CBAM
from danet_tf.context.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_tf.context.criss_cross import CrissCrossAttention
from danet_tf.context.joint_attention import JointChannelAttention, JointPositionAttention
from danet_tf.context.non_local import NonLocal
from danet_tf.context.selective_kernel import SelectiveKernel
from danet_tf.context.self_attention import SelfAttention
from danet_tf.context.squeeze_excitation import SqueezeExcitation
from danet_tf.module import Module

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


def context_module(kind: ContextKind, config: DANetConfig, layers: LayerSet) -> Module:
    """Return a new module of a kind, of the head's channels."""
    return layers.remat(MODULES[kind])(*context_arguments(kind, config), layers)
