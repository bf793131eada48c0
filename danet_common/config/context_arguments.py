"""The arguments of each context module that follow from the config: the same in the three packages."""

from __future__ import annotations

from typing import Any

from danet_common.config import ContextKind, DANetConfig


def context_arguments(kind: ContextKind, config: DANetConfig) -> tuple[Any, ...]:
    """Return what a module of this kind is made with, in order, before the layer set."""
    channels = config.inner_channels
    match kind:
        case "position" | "self_attention" | "joint_position" | "compact_position":
            return channels, config.attention_channels
        case "channel":
            return ()
        case "squeeze_excitation" | "cbam" | "bam" | "selective_kernel" | "compact_channel":
            return channels, config.reduction
        case "non_local":
            return channels, config.non_local_form, config.non_local_pooled
        case "joint_channel":
            return (channels,)
