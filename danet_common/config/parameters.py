"""All tensors of a network: canonical name, shape and kind, derived from the config alone.

Canonical name and layout are those of torch's state dict: kernels are (out, in, height, width). Conversions are
checked against this table, and initial weights are drawn for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from danet_common.config import DANetConfig
from danet_common.config.context_kinds import CONTEXT
from danet_common.config.context_sizes import GATED_CHANNELS
from danet_common.config.network import EXPANSION
from danet_common.config.tensors import Parameter, conv, conv_norm, norm


def parameters(config: DANetConfig) -> dict[str, Parameter]:
    """Return all tensors of the network by canonical name, in the order of the forward pass."""
    return {parameter.name: parameter for parameter in _network(config)}


def count_trainable(config: DANetConfig, within: str = "") -> int:
    """Return the number of trainable values in the tensors whose names start with `within`."""
    table = parameters(config).values()
    return sum(math.prod(each.shape) for each in table if each.trainable and each.name.startswith(within))


def _network(config: DANetConfig) -> Iterator[Parameter]:
    yield from _backbone(config)
    inner, classes, deepest = config.inner_channels, config.num_classes, config.stage_channels[3]
    for kind in config.context:
        yield from conv_norm(f"head.{kind}_in", deepest, inner, 3)
        yield from CONTEXT[kind].tensors(config, f"head.{kind}_attention")
        yield from conv_norm(f"head.{kind}_out", inner, inner, 3)
    if not config.context:
        yield from conv_norm("head.plain_out", deepest, inner, 3)
    if config.decoder == "gating":
        fused = config.fused_channels
        yield from conv_norm("head.merged", inner * max(1, len(config.context)), fused, 3)
        yield from _decoder("head.decoder", config.stage_channels[0], fused)
    yield from conv("head.fused_classifier", config.fused_channels, classes, 1, bias=True)
    for kind in config.context if config.branch_classifiers else ():
        yield from conv(f"head.{kind}_classifier", inner, classes, 1, bias=True)
    if config.auxiliary == "fcn":
        yield from conv_norm("auxiliary.hidden", config.stage_channels[2], config.auxiliary_channels, 3)
        yield from conv("auxiliary.classifier", config.auxiliary_channels, classes, 1, bias=True)
    elif config.auxiliary == "linear":
        yield from conv("auxiliary.classifier", deepest, classes, 1, bias=True)


def _decoder(name: str, low_channels: int, channels: int) -> Iterator[Parameter]:
    """Yield the tensors of the gating decoder."""
    yield from conv_norm(f"{name}.low", low_channels, GATED_CHANNELS, 3)
    yield from conv(f"{name}.gate", GATED_CHANNELS + channels, 1, 1, bias=True)
    yield from conv_norm(f"{name}.joined", GATED_CHANNELS + channels, channels, 3)
    yield from conv_norm(f"{name}.out", channels, channels, 3)
    yield Parameter(f"{name}.gain", (1,), "gain")


def _backbone(config: DANetConfig) -> Iterator[Parameter]:
    if config.stem == "plain":
        yield from conv("backbone.conv1", config.in_channels, config.stem_widths[0], 7)
    else:
        first, second, third = config.stem_widths
        yield from conv("backbone.conv1.conv1", config.in_channels, first, 3)
        yield from norm("backbone.conv1.bn1", first)
        yield from conv("backbone.conv1.conv2", first, second, 3)
        yield from norm("backbone.conv1.bn2", second)
        yield from conv("backbone.conv1.conv3", second, third, 3)
    channels = config.stem_widths[-1]
    yield from norm("backbone.bn1", channels)
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
        yield from conv(f"{name}.conv{index}", fan_in, fan_out, size)
        yield from norm(f"{name}.bn{index}", fan_out)
    if stride != 1 or channels != out_channels:
        yield from conv(f"{name}.downsample.0", channels, out_channels, 1)
        yield from norm(f"{name}.downsample.1", out_channels)
