"""Winograd's transforms for networks that are too small to gain anything, in a backend's own process."""

from __future__ import annotations

from typing import Any

from danet_common import winograd
from shared_tests.job import Groups

USUAL = {name: getattr(winograd, name) for name in ("CHANNELS", "POSITIONS", "WASTE", "BAND_SIZE", "CACHED_SIZE")}
ALWAYS = {"CHANNELS": 1, "POSITIONS": 1, "WASTE": float("inf")}


def transform_always(fields: dict[str, Any], arrays: Groups) -> Groups:
    """In networks made from now on, in bands of so many entries, or as many as usual for 0; None: where it gains."""
    entries = fields["entries"]
    sizes = {"BAND_SIZE": entries, "CACHED_SIZE": entries} if entries else {}
    chosen = USUAL if entries is None else {**USUAL, **ALWAYS, **sizes}
    for name, value in chosen.items():
        setattr(winograd, name, value)
    return {}
