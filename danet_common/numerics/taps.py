"""Taps: named intermediate values of the forward pass, and how a caller asks for them.

Each network hands every intermediate value to `Taps.record` under the same name. Only values asked for are kept, so a
plain forward pass holds nothing longer than it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from danet_common.config import DANetConfig
from danet_common.config.context_kinds import context_taps

T = TypeVar("T")


def ignore(value: T) -> T:
    """Return `value`: the recorder of a tap that nobody asked for."""
    return value


class Taps:
    """Keeps the values asked for in `values`, by name, in the order in which the network reaches them."""

    def __init__(self, wanted: Collection[str] = ()) -> None:
        self.wanted = frozenset(wanted)
        self.values: dict[str, Any] = {}

    def record(self, name: str, value: T) -> T:
        """Keep `value` if `name` was asked for; return it unchanged."""
        if name in self.wanted:
            self.values[name] = value
        return value

    def recorder(self, name: str) -> Callable[[T], T]:
        """Return a function that records one tap; `ignore` itself where the tap was not asked for."""
        return (lambda value: self.record(name, value)) if name in self.wanted else ignore


NO_TAPS = Taps()  # the default of a module used alone: asks for nothing, so never holds anything


def tap_names(config: DANetConfig, outputs: Collection[str] | None = None) -> tuple[str, ...]:
    """Return every tap of this network, in the order of the forward pass; or only the taps before some of its outputs.

    Feature maps are N,C,H,W in torch and N,H,W,C in Keras and Flax. `position_map` is the attention
    (N, H*W, H*W), `channel_map` (N, C, C); in both, rows sum to 1. `*_gate` are weights of channels (N, C, 1, 1), of
    positions (N, 1, H, W) or of both. `compact_position_centres` are 50 positions (N, C, 50, 1), its map is
    (N, H*W, 50); of K `compact_channel_centres` the map is (N, C, K). `*_logits` are those before upsampling.
    """
    outputs = config.outputs if outputs is None else outputs
    names = ["stem", "layer1", "layer2", "layer3", "layer4"]
    for kind in config.branches_of(outputs):
        names += [f"{kind}_in", *context_taps(kind, config), f"{kind}_attention", f"{kind}_out"]
    if not config.context and "fused" in outputs:
        names += ["plain_out"]
    if config.decoder == "gating" and "fused" in outputs:
        names += ["merged", "decoder_low", "decoder_gate", "decoder_joined", "decoder_out"]
    names += [f"{output}_logits" for output in config.outputs if output in outputs]
    return tuple(names)


def requested(
    config: DANetConfig, outputs: Collection[str] | None, taps: Collection[str]
) -> tuple[tuple[str, ...], Taps]:
    """Return the outputs to compute, in the network's order, all of them if None; and a collector for these taps.

    Raises ValueError, listing the unknown, unless each is one of this network's, and each tap leads to an output.
    """
    computed = config.outputs if outputs is None else tuple(name for name in config.outputs if name in outputs)
    require_known("outputs", outputs or (), config.outputs)
    require_known("taps", taps, tap_names(config))
    require_known(f"taps for the outputs {', '.join(computed) or '()'}:", taps, tap_names(config, computed))
    return computed, Taps(taps)


def require_known(kind: str, wanted: Collection[str], known: Collection[str]) -> None:
    """Raise ValueError for names that are not known."""
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"unknown {kind} {', '.join(unknown)}; this network has {', '.join(known)}")
