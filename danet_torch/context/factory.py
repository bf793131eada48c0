"""What stands in a branch of the head: the module that each kind of context names."""

from __future__ import annotations

from torch import nn

from danet_common.config import ContextKind, DANetConfig
from danet_common.numerics import Numerics
from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.context.bam import BAM
from danet_torch.context.cbam import CBAM
from danet_torch.context.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_torch.context.joint_attention import JointChannelAttention, JointPositionAttention
from danet_torch.context.non_local import NonLocal
from danet_torch.context.selective_kernel import SelectiveKernel
from danet_torch.context.self_attention import SelfAttention
from danet_torch.context.squeeze_excitation import SqueezeExcitation


def context_module(kind: ContextKind, config: DANetConfig, numerics: Numerics) -> nn.Module:
    """The module of a kind, of the head's channels."""
    channels = config.inner_channels
    match kind:
        case "position":
            return PositionAttention(channels, config.attention_channels, numerics)
        case "channel":
            return ChannelAttention(numerics)
        case "squeeze_excitation":
            return SqueezeExcitation(channels, config.reduction, numerics)
        case "cbam":
            return CBAM(channels, config.reduction, numerics)
        case "bam":
            return BAM(channels, config.reduction, numerics)
        case "selective_kernel":
            return SelectiveKernel(channels, config.reduction, numerics)
        case "non_local":
            return NonLocal(channels, config.non_local_form, config.non_local_pooled, numerics)
        case "self_attention":
            return SelfAttention(channels, config.attention_channels, numerics)
        case "joint_position":
            return JointPositionAttention(channels, config.attention_channels, numerics)
        case "joint_channel":
            return JointChannelAttention(channels, numerics)
        case "compact_position":
            return CompactPositionAttention(channels, config.attention_channels, numerics)
        case "compact_channel":
            return CompactChannelAttention(channels, config.reduction, numerics)
