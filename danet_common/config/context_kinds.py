"""Modules for the branches of the head: constructor arguments, tensors and taps of each, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from danet_common.config.context_sizes import POOLS, SELECTIVE_KERNEL_LEAST, reduced
from danet_common.config.network import ContextKind, DANetConfig
from danet_common.config.tensors import Parameter, conv, conv_norm, norm


@dataclass(frozen=True)
class ContextFacts:
    """Facts about a kind of module.

    arguments  of its constructor, in order, before the layer set
    tensors    in order, by names that start with the given one
    inputs     intermediate value -> the values that it is computed from, as words. `in` is the module's input and
               `attention` its output; all values but the output are taps
    """

    arguments: Callable[[DANetConfig], tuple[Any, ...]]
    tensors: Callable[[DANetConfig, str], Iterator[Parameter]]
    inputs: Mapping[str, str]


def context_arguments(kind: ContextKind, config: DANetConfig) -> tuple[Any, ...]:
    """Return the arguments that a module of this kind is made with, in order, before the layer set."""
    return CONTEXT[kind].arguments(config)


def context_taps(kind: ContextKind, config: DANetConfig) -> tuple[str, ...]:
    """Return the taps in a module of this kind, in the order of the forward pass."""
    absent = ("query", "key") if kind == "non_local" and config.non_local_form == "gaussian" else ()
    return tuple(f"{kind}_{value}" for value in CONTEXT[kind].inputs if value not in (*absent, "attention"))


def _with_queries(config: DANetConfig) -> tuple[int, int]:
    return config.inner_channels, config.attention_channels


def _with_reduction(config: DANetConfig) -> tuple[int, int]:
    return config.inner_channels, config.reduction


def _gamma(config: DANetConfig, name: str) -> Iterator[Parameter]:
    yield Parameter(f"{name}.gamma", (1,), "gamma")


def _position(config: DANetConfig, name: str) -> Iterator[Parameter]:
    channels, queries = _with_queries(config)
    yield from conv(f"{name}.query", channels, queries, 1, bias=True)
    yield from conv(f"{name}.key", channels, queries, 1, bias=True)
    yield from conv(f"{name}.value", channels, channels, 1, bias=True)
    yield from _gamma(config, name)


def _squeeze_excitation(config: DANetConfig, name: str) -> Iterator[Parameter]:
    channels, hidden = config.inner_channels, reduced(*_with_reduction(config))
    yield from conv(f"{name}.reduce", channels, hidden, 1, bias=True)
    yield from conv(f"{name}.expand", hidden, channels, 1, bias=True)


def _cbam(config: DANetConfig, name: str) -> Iterator[Parameter]:
    channels, hidden = config.inner_channels, reduced(*_with_reduction(config))
    yield from conv(f"{name}.reduce", channels, hidden, 1)
    yield from conv(f"{name}.expand", hidden, channels, 1)
    yield from conv(f"{name}.spatial", 2, 1, 7, bias=True)


def _bam(config: DANetConfig, name: str) -> Iterator[Parameter]:
    channels, hidden = config.inner_channels, reduced(*_with_reduction(config))
    yield from conv(f"{name}.reduce", channels, hidden, 1, bias=True)
    yield from conv(f"{name}.expand", hidden, channels, 1)
    yield from norm(f"{name}.expand_bn", channels)
    yield from conv(f"{name}.spatial_reduce", channels, hidden, 1, bias=True)
    yield from conv(f"{name}.spatial_conv1", hidden, hidden, 3, bias=True)
    yield from conv(f"{name}.spatial_conv2", hidden, hidden, 3, bias=True)
    yield from conv(f"{name}.spatial_expand", hidden, 1, 1)
    yield from norm(f"{name}.spatial_bn", 1)


def _selective_kernel(config: DANetConfig, name: str) -> Iterator[Parameter]:
    channels, hidden = config.inner_channels, reduced(*_with_reduction(config), SELECTIVE_KERNEL_LEAST)
    for field in ("near", "far"):
        yield from conv(f"{name}.{field}", channels, channels, 3)
        yield from norm(f"{name}.{field}_bn", channels)
    yield from conv(f"{name}.reduce", channels, hidden, 1)
    yield from norm(f"{name}.reduce_bn", hidden)
    yield from conv(f"{name}.near_score", hidden, channels, 1)
    yield from conv(f"{name}.far_score", hidden, channels, 1)


def _non_local(config: DANetConfig, name: str) -> Iterator[Parameter]:
    channels = config.inner_channels
    inner = max(channels // 2, 1)
    for layer in ("value",) if config.non_local_form == "gaussian" else ("query", "key", "value"):
        yield from conv(f"{name}.{layer}", channels, inner, 1, bias=True)
    if config.non_local_form == "concatenation":
        yield from conv(f"{name}.query_score", inner, 1, 1)
        yield from conv(f"{name}.key_score", inner, 1, 1)
    yield from conv(f"{name}.residual", inner, channels, 1)
    yield from norm(f"{name}.residual_bn", channels)


def _self_attention(config: DANetConfig, name: str) -> Iterator[Parameter]:
    channels, queries = _with_queries(config)
    for layer in ("query", "key", "value"):
        yield from conv(f"{name}.{layer}", channels, queries, 1)
    yield from conv(f"{name}.residual", queries, channels, 1)
    yield from _gamma(config, name)


def _joint_position(config: DANetConfig, name: str) -> Iterator[Parameter]:
    channels, queries = _with_queries(config)
    yield from conv(f"{name}.projections", channels, 2 * queries + channels, 1, bias=True)
    yield from _gamma(config, name)


def _joint_channel(config: DANetConfig, name: str) -> Iterator[Parameter]:
    yield from conv(f"{name}.projections", config.inner_channels, 3 * config.inner_channels, 1, bias=True)
    yield from _gamma(config, name)


def _compact_position(config: DANetConfig, name: str) -> Iterator[Parameter]:
    for size in POOLS:
        yield from conv_norm(f"{name}.pool{size}", config.inner_channels, config.inner_channels, 1)
    yield from _position(config, name)


def _compact_channel(config: DANetConfig, name: str) -> Iterator[Parameter]:
    yield from conv_norm(f"{name}.centres", config.inner_channels, reduced(*_with_reduction(config)), 1)
    yield from _gamma(config, name)


QUERY_KEY_VALUE = {"query": "in", "key": "in", "value": "in", "map": "query key", "attention": "in value map"}

CONTEXT: dict[ContextKind, ContextFacts] = {
    "position": ContextFacts(_with_queries, _position, QUERY_KEY_VALUE),
    "channel": ContextFacts(lambda config: (), _gamma, {"map": "in", "attention": "in map"}),
    "squeeze_excitation": ContextFacts(_with_reduction, _squeeze_excitation, {"gate": "in", "attention": "in gate"}),
    "cbam": ContextFacts(
        _with_reduction,
        _cbam,
        {"channel_gate": "in", "spatial_gate": "in channel_gate", "attention": "in channel_gate spatial_gate"},
    ),
    "bam": ContextFacts(
        _with_reduction, _bam, {"channel": "in", "spatial": "in", "gate": "channel spatial", "attention": "in gate"}
    ),
    "selective_kernel": ContextFacts(
        _with_reduction,
        _selective_kernel,
        {
            "near": "in",
            "far": "in",
            "near_gate": "near far",
            "far_gate": "near far",
            "attention": "near far near_gate far_gate",
        },
    ),
    "non_local": ContextFacts(
        lambda config: (config.inner_channels, config.non_local_form, config.non_local_pooled),
        _non_local,
        {"query": "in", "key": "in", "value": "in", "map": "in query key", "attention": "in value map"},
    ),
    "self_attention": ContextFacts(_with_queries, _self_attention, QUERY_KEY_VALUE),
    "joint_position": ContextFacts(
        _with_queries, _joint_position, {"projections": "in", "map": "projections", "attention": "in projections map"}
    ),
    "joint_channel": ContextFacts(
        lambda config: (config.inner_channels,),
        _joint_channel,
        {"projections": "in", "map": "projections", "attention": "in projections map"},
    ),
    "compact_position": ContextFacts(
        _with_queries,
        _compact_position,
        {
            "centres": "in",
            "query": "in",
            "key": "centres",
            "value": "centres",
            "map": "query key",
            "attention": "in value map",
        },
    ),
    "compact_channel": ContextFacts(
        _with_reduction, _compact_channel, {"centres": "in", "map": "in centres", "attention": "in centres map"}
    ),
    "criss_cross": ContextFacts(
        _with_queries, _position, {"map1": "in", "once": "in map1", "map2": "once", "attention": "once map2"}
    ),
}
