"""What stands in a branch of the head: the module that each kind of context names."""

from __future__ import annotations

from flax import nnx

from danet_common.config import ContextKind, DANetConfig
from danet_common.numerics import Numerics
from danet_jax.attention import ChannelAttention, PositionAttention


def context_module(kind: ContextKind, config: DANetConfig, numerics: Numerics) -> nnx.Module:
    """The module of a kind, of the head's channels."""
    channels = config.inner_channels
    match kind:
        case "position":
            return PositionAttention(channels, config.attention_channels, numerics)
        case "channel":
            return ChannelAttention(numerics)
