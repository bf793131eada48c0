"""List trainers that store moving averages in the place of the trained weights."""

from __future__ import annotations

from dataclasses import dataclass

from weights_convert.contents import Contents
from weights_convert.weight_sets.find import WeightSet, WeightSets


@dataclass(frozen=True)
class Exchange:
    """A trainer that stores averages in the place of the weights, and the weights under another key.

    averages  key of the moving averages
    trained   key of the trained weights
    witness   prefix of a name that only such a file has
    """

    averages: str
    trained: str
    witness: str
    trainer: str


EXCHANGES = (
    # mmengine/hooks/ema_hook.py, before_save_checkpoint; mmengine/model/averaged_model.py, the buffer `steps`
    Exchange("state_dict", "ema_state_dict", "ema_state_dict.steps", "MMEngine's EMAHook"),
    # lightning/pytorch/callbacks/weight_averaging.py, on_save_checkpoint
    Exchange("state_dict", "current_model_state", "averaging_state.", "Lightning's WeightAveraging"),
)


def exchange_of(contents: Contents, weight_sets: WeightSets) -> Exchange | None:
    """Return the trainer that exchanged the sets of a file; None if none did."""
    for exchange in EXCHANGES:
        both = all(
            any(is_at(weight_set, at) for weight_set in weight_sets.whole)
            for at in (exchange.averages, exchange.trained)
        )
        if both and any(name.startswith(exchange.witness) for name in (*contents.tensors, *contents.others)):
            return exchange
    return None


def is_at(weight_set: WeightSet, container: str) -> bool:
    """True if the set lies inside a dictionary of the file."""
    return weight_set.prefix.startswith(f"{container}.")


def averages_of(exchange: Exchange) -> str:
    """Describe the averages of an exchange, for a message."""
    return f"where {exchange.trainer} stores the moving averages"
