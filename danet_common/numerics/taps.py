"""Taps: named intermediate values of the forward pass.

The PyTorch, Keras and Flax networks offer each value to `Taps.record` under the same name. Only requested values
are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from danet_common.config import DANetConfig
from danet_common.config.context_kinds import context_taps

T = TypeVar("T")


def passthrough(value: T) -> T:
    """Return `value`: the recorder of a tap that was not requested."""
    return value


class Taps:
    """Keeps requested values in `recorded`, by name, in the order of the forward pass."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self.names = frozenset(names)
        self.recorded: dict[str, Any] = {}

    def record(self, name: str, value: T) -> T:
        """Keep `value` if `name` was requested; return it unchanged."""
        if name in self.names:
            self.recorded[name] = value
        return value

    def recorder(self, name: str) -> Callable[[T], T]:
        """Return a function that records a tap; `passthrough` itself where the tap was not requested."""
        return (lambda value: self.record(name, value)) if name in self.names else passthrough


NO_TAPS = Taps()  # the default of a module used alone


def tap_names(config: DANetConfig, outputs: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the taps of this network, in the order of the forward pass, or only the taps before these outputs.

    Feature maps are N,C,H,W in torch and N,H,W,C in Keras and Flax. `position_map` is the attention
    (N, H*W, H*W), `channel_map` (N, C, C); in both, rows sum to 1. `*_gate` are weights of channels (N, C, 1, 1), of
    positions (N, 1, H, W) or of both. `compact_position_centres` are 50 positions (N, C, 50, 1), its map is
    (N, H*W, 50); of K `compact_channel_centres` the map is (N, C, K). `*_logits` are before upsampling.
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


def resolve_request(
    config: DANetConfig, outputs: Collection[str] | None, taps: Collection[str], dropout_masks: Collection[str] = ()
) -> tuple[tuple[str, ...], Taps]:
    """Return the outputs to compute, in the network's order, by default all, and the `Taps` that keep these taps.

    Raises ValueError, listing unknown names, of masks too, and taps that lead to none of the outputs.
    """
    computed = config.outputs if outputs is None else tuple(name for name in config.outputs if name in outputs)
    require_known("outputs", outputs or (), config.outputs)
    require_known("taps", taps, tap_names(config))
    require_known("dropout masks", dropout_masks, config.outputs)
    owner = f"the outputs {', '.join(computed) or '()'} have"
    require_known("taps", taps, tap_names(config, computed), owner)
    return computed, Taps(taps)


def require_known(kind: str, names: Collection[str], known: Collection[str], owner: str = "this network has") -> None:
    """Raise ValueError for names that are not known."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown {kind} {', '.join(unknown)}; {owner} {', '.join(known)}")
