"""Winograd's transforms for networks too small to gain anything, in a backend's own process."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from danet_common.numerics import winograd
from shared_tests.workers.protocol import Groups

SIZES = "BAND_SIZE", "CACHED_SIZE"
USUAL = {name: getattr(winograd, name) for name in ("CHANNELS", "POSITIONS", "WASTE", "CHANNELS_AT_ONCE", *SIZES)}
ALWAYS = {"CHANNELS": 1, "POSITIONS": 1, "WASTE": float("inf")}


def transform_always(fields: dict[str, Any], arrays: Groups) -> Groups:
    """In networks made from now on, in bands of so many entries, or as many as usual for 0; None: where it gains."""
    entries = fields["entries"]
    sizes = {**dict.fromkeys(SIZES, entries), "CHANNELS_AT_ONCE": 8} if entries else {}
    chosen = USUAL if entries is None else {**USUAL, **ALWAYS, **sizes}
    for name, value in chosen.items():
        setattr(winograd, name, value)
    return {}


def held_by_tensorflow(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The most bytes that a graph of `count` convolutions of `channels` channels holds above what lies there. Linux."""
    import tensorflow as tf

    from danet_tf.accelerated.layer_sets import folded_conv

    channels = fields["channels"]
    layers = [folded_conv(channels, channels, 3) for _ in range(fields["count"])]
    pixels = tf.zeros((1, 32, 32, channels))
    call = tf.function(lambda x: functools.reduce(lambda x, layer: layer(x), layers, x))
    call.get_concrete_function(pixels)
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what there is
    before = memory_of_process("VmRSS")
    call(pixels)
    return {"held": {"bytes": np.array(memory_of_process("VmHWM") - before)}}


def memory_of_process(name: str) -> int:
    """In bytes, as the system calls it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) << 10
