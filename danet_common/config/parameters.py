"""Every tensor of a network: canonical name, shape and kind, derived from the config alone.

The canonical name and layout are torch's state dict: convolution kernels are (out, in, height,
width). This table is what conversions are held to and what initial weights are drawn for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from danet_common.config import EXPANSION, ContextKind, DANetConfig
from danet_common.config.context_sizes import GATED_CHANNELS, POOLS, SELECTIVE_KERNEL_LEAST, reduced

Kind = Literal["kernel", "bias", "scale", "shift", "mean", "variance", "count", "gamma", "gain"]

NORM_KINDS: tuple[Kind, ...] = ("scale", "shift", "mean", "variance", "count")  # those of a BatchNorm


@dataclass(frozen=True)
class Parameter:
    """One tensor. `kind` says what it does; `scale`, `shift`, `mean`, `variance` and `count` are a BatchNorm's.

    `gamma` and `gain` are single factors: training starts with the former at 0, with the latter at 1.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind

    @property
    def trainable(self) -> bool:
        """Whether an optimizer updates it; the others are running statistics."""
        return self.kind not in ("mean", "variance", "count")

    @property
    def is_norm(self) -> bool:
        """Whether it belongs to a BatchNorm, which stays in float32 in a low-precision network."""
        return self.kind in NORM_KINDS

    @property
    def is_factor(self) -> bool:
        """Whether it is a single factor, which stays in float32 in a low-precision network."""
        return self.kind in ("gamma", "gain")


def parameters(config: DANetConfig) -> dict[str, Parameter]:
    """All tensors of the network by canonical name, in the order of the forward pass."""
    return {parameter.name: parameter for parameter in _network(config)}


def count_trainable(config: DANetConfig, within: str = "") -> int:
    """Trainable values of the network, or of what stands in it under names that begin so."""
    table = parameters(config).values()
    return sum(math.prod(each.shape) for each in table if each.trainable and each.name.startswith(within))


def _network(config: DANetConfig) -> Iterator[Parameter]:
    yield from _backbone(config)
    inner, classes, deepest = config.inner_channels, config.num_classes, config.stage_channels[3]
    for kind in config.context:
        yield from _conv_norm(f"head.{kind}_in", deepest, inner, 3)
        yield from _context(config, kind, f"head.{kind}_attention", inner)
        yield from _conv_norm(f"head.{kind}_out", inner, inner, 3)
    if not config.context:
        yield from _conv_norm("head.plain_out", deepest, inner, 3)
    if config.decoder == "gating":
        fused = config.fused_channels
        yield from _conv_norm("head.merged", inner * max(1, len(config.context)), fused, 3)
        yield from _decoder("head.decoder", config.stage_channels[0], fused)
    yield from _conv("head.fused_classifier", config.fused_channels, classes, 1, bias=True)
    for kind in config.context if config.branch_classifiers else ():
        yield from _conv(f"head.{kind}_classifier", inner, classes, 1, bias=True)
    if config.auxiliary == "fcn":
        yield from _conv_norm("auxiliary.hidden", config.stage_channels[2], config.auxiliary_channels, 3)
        yield from _conv("auxiliary.classifier", config.auxiliary_channels, classes, 1, bias=True)
    elif config.auxiliary == "linear":
        yield from _conv("auxiliary.classifier", deepest, classes, 1, bias=True)


def _context(config: DANetConfig, kind: ContextKind, name: str, channels: int) -> Iterator[Parameter]:
    """Of the module between a branch's convolutions."""
    match kind:
        case "position":
            query = config.attention_channels
            yield from _conv(f"{name}.query", channels, query, 1, bias=True)
            yield from _conv(f"{name}.key", channels, query, 1, bias=True)
            yield from _conv(f"{name}.value", channels, channels, 1, bias=True)
            yield Parameter(f"{name}.gamma", (1,), "gamma")
        case "channel":
            yield Parameter(f"{name}.gamma", (1,), "gamma")
        case "squeeze_excitation":
            hidden = reduced(channels, config.reduction)
            yield from _conv(f"{name}.reduce", channels, hidden, 1, bias=True)
            yield from _conv(f"{name}.expand", hidden, channels, 1, bias=True)
        case "cbam":
            hidden = reduced(channels, config.reduction)
            yield from _conv(f"{name}.reduce", channels, hidden, 1)
            yield from _conv(f"{name}.expand", hidden, channels, 1)
            yield from _conv(f"{name}.spatial", 2, 1, 7, bias=True)
        case "bam":
            hidden = reduced(channels, config.reduction)
            yield from _conv(f"{name}.reduce", channels, hidden, 1, bias=True)
            yield from _conv(f"{name}.expand", hidden, channels, 1)
            yield from _norm(f"{name}.expand_bn", channels)
            yield from _conv(f"{name}.spatial_reduce", channels, hidden, 1, bias=True)
            yield from _conv(f"{name}.spatial_conv1", hidden, hidden, 3, bias=True)
            yield from _conv(f"{name}.spatial_conv2", hidden, hidden, 3, bias=True)
            yield from _conv(f"{name}.spatial_expand", hidden, 1, 1)
            yield from _norm(f"{name}.spatial_bn", 1)
        case "selective_kernel":
            hidden = reduced(channels, config.reduction, SELECTIVE_KERNEL_LEAST)
            for field in ("near", "far"):
                yield from _conv(f"{name}.{field}", channels, channels, 3)
                yield from _norm(f"{name}.{field}_bn", channels)
            yield from _conv(f"{name}.reduce", channels, hidden, 1)
            yield from _norm(f"{name}.reduce_bn", hidden)
            yield from _conv(f"{name}.near_score", hidden, channels, 1)
            yield from _conv(f"{name}.far_score", hidden, channels, 1)
        case "non_local":
            inner = max(channels // 2, 1)
            names = ("value",) if config.non_local_form == "gaussian" else ("query", "key", "value")
            for part in names:
                yield from _conv(f"{name}.{part}", channels, inner, 1, bias=True)
            if config.non_local_form == "concatenation":
                yield from _conv(f"{name}.query_score", inner, 1, 1)
                yield from _conv(f"{name}.key_score", inner, 1, 1)
            yield from _conv(f"{name}.residual", inner, channels, 1)
            yield from _norm(f"{name}.residual_bn", channels)
        case "self_attention":
            for part in ("query", "key", "value"):
                yield from _conv(f"{name}.{part}", channels, config.attention_channels, 1)
            yield from _conv(f"{name}.residual", config.attention_channels, channels, 1)
            yield Parameter(f"{name}.gamma", (1,), "gamma")
        case "joint_position":
            yield from _conv(f"{name}.projections", channels, 2 * config.attention_channels + channels, 1, bias=True)
            yield Parameter(f"{name}.gamma", (1,), "gamma")
        case "joint_channel":
            yield from _conv(f"{name}.projections", channels, 3 * channels, 1, bias=True)
            yield Parameter(f"{name}.gamma", (1,), "gamma")
        case "compact_position":
            for size in POOLS:
                yield from _conv_norm(f"{name}.pool{size}", channels, channels, 1)
            yield from _conv(f"{name}.query", channels, config.attention_channels, 1, bias=True)
            yield from _conv(f"{name}.key", channels, config.attention_channels, 1, bias=True)
            yield from _conv(f"{name}.value", channels, channels, 1, bias=True)
            yield Parameter(f"{name}.gamma", (1,), "gamma")
        case "compact_channel":
            yield from _conv_norm(f"{name}.centres", channels, reduced(channels, config.reduction), 1)
            yield Parameter(f"{name}.gamma", (1,), "gamma")


def _decoder(name: str, low_channels: int, channels: int) -> Iterator[Parameter]:
    """Of the gating decoder."""
    yield from _conv_norm(f"{name}.low", low_channels, GATED_CHANNELS, 3)
    yield from _conv(f"{name}.gate", GATED_CHANNELS + channels, 1, 1, bias=True)
    yield from _conv_norm(f"{name}.joined", GATED_CHANNELS + channels, channels, 3)
    yield from _conv_norm(f"{name}.out", channels, channels, 3)
    yield Parameter(f"{name}.gain", (1,), "gain")


def _backbone(config: DANetConfig) -> Iterator[Parameter]:
    if config.stem == "plain":
        yield from _conv("backbone.conv1", config.in_channels, config.stem_widths[0], 7)
    else:
        first, second, third = config.stem_widths
        yield from _conv("backbone.conv1.conv1", config.in_channels, first, 3)
        yield from _norm("backbone.conv1.bn1", first)
        yield from _conv("backbone.conv1.conv2", first, second, 3)
        yield from _norm("backbone.conv1.bn2", second)
        yield from _conv("backbone.conv1.conv3", second, third, 3)
    channels = config.stem_widths[-1]
    yield from _norm("backbone.bn1", channels)
    for stage, (blocks, width) in enumerate(zip(config.layers, config.widths, strict=True)):
        for index in range(blocks):
            name = f"backbone.layer{stage + 1}.{index}"
            stride = config.stage_strides[stage] if index == 0 else 1
            yield from _block(config, name, channels, width, stride)
            channels = width * EXPANSION[config.block]


def _block(config: DANetConfig, name: str, channels: int, width: int, stride: int) -> Iterator[Parameter]:
    out_channels = width * EXPANSION[config.block]
    convolutions: tuple[tuple[int, int, int], ...]  # input channels, output channels, kernel size
    if config.block == "basic":
        convolutions = ((channels, width, 3), (width, width, 3))
    else:
        convolutions = ((channels, width, 1), (width, width, 3), (width, out_channels, 1))
    for index, (fan_in, fan_out, size) in enumerate(convolutions, start=1):
        yield from _conv(f"{name}.conv{index}", fan_in, fan_out, size)
        yield from _norm(f"{name}.bn{index}", fan_out)
    if stride != 1 or channels != out_channels:
        yield from _conv(f"{name}.downsample.0", channels, out_channels, 1)
        yield from _norm(f"{name}.downsample.1", out_channels)


def _conv_norm(name: str, in_channels: int, out_channels: int, size: int) -> Iterator[Parameter]:
    yield from _conv(f"{name}.conv", in_channels, out_channels, size)
    yield from _norm(f"{name}.bn", out_channels)


def _conv(name: str, in_channels: int, out_channels: int, size: int, bias: bool = False) -> Iterator[Parameter]:
    yield Parameter(f"{name}.weight", (out_channels, in_channels, size, size), "kernel")
    if bias:
        yield Parameter(f"{name}.bias", (out_channels,), "bias")


def _norm(name: str, channels: int) -> Iterator[Parameter]:
    yield Parameter(f"{name}.weight", (channels,), "scale")
    yield Parameter(f"{name}.bias", (channels,), "shift")
    yield Parameter(f"{name}.running_mean", (channels,), "mean")
    yield Parameter(f"{name}.running_var", (channels,), "variance")
    yield Parameter(f"{name}.num_batches_tracked", (), "count")
