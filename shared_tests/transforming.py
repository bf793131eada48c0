"""Winograd's transforms, and memory used again, for networks too small to gain anything, in a backend's own process."""

from __future__ import annotations

from typing import Any

from danet_common import memory, winograd
from shared_tests.job import Groups

SIZES = "BAND_SIZE", "CACHED_SIZE"
USUAL = {name: getattr(winograd, name) for name in ("CHANNELS", "POSITIONS", "WASTE", "CHANNELS_AT_ONCE", *SIZES)}
USUAL_MEMORY = {"LARGE": memory.LARGE, "BAND_SIZE": memory.BAND_SIZE}
ALWAYS = {"CHANNELS": 1, "POSITIONS": 1, "WASTE": float("inf")}


def transform_always(fields: dict[str, Any], arrays: Groups) -> Groups:
    """In networks made from now on, in bands of so many entries, or as many as usual for 0; None: where it gains."""
    entries = fields["entries"]
    sizes = {**dict.fromkeys(SIZES, entries), "CHANNELS_AT_ONCE": 8} if entries else {}
    chosen = USUAL if entries is None else {**USUAL, **ALWAYS, **sizes}
    for name, value in chosen.items():
        setattr(winograd, name, value)
    memory.LARGE = USUAL_MEMORY["LARGE"] if entries is None else 1
    memory.BAND_SIZE = entries or USUAL_MEMORY["BAND_SIZE"]
    return {}
