"""The modules that the branches of DANet's head may have, one file each, and the kind that names each of them."""

from __future__ import annotations

from torch import nn

from danet_common.config import ContextKind, DANetConfig
from danet_common.config.context_kinds import context_arguments
from danet_common.config.layer_set import LayerSet
from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.context.bam import BAM
from danet_torch.context.cbam import CBAM
from danet_torch.context.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_torch.context.criss_cross import CrissCrossAttention
from danet_torch.context.joint_attention import JointChannelAttention, JointPositionAttention
from danet_torch.context.non_local import NonLocal
from danet_torch.context.selective_kernel import SelectiveKernel
from danet_torch.context.self_attention import SelfAttention
from danet_torch.context.squeeze_excitation import SqueezeExcitation

MODULES: dict[ContextKind, type[nn.Module]] = {
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


def context_module(kind: ContextKind, config: DANetConfig, layers: LayerSet) -> nn.Module:
    """Return a new module of a kind, of the head's channels."""
    return layers.remat(MODULES[kind])(*context_arguments(kind, config), layers)
