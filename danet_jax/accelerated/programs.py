"""Limits on what JAX keeps for each picture size: a compiled program, and the traces that it was made from."""

from __future__ import annotations

from typing import Any

import jax

PROGRAMS = 8  # kept at most, one per picture size: each has 10 MB or more
TRACES = 64  # sizes after which JAX's own caches are cleared: a size leaves 2 MB of traces that outlive its program

_compiled_for: set[tuple[int, ...]] = set()
_traced_for: set[tuple[int, ...]] = set()


def keep_few_programs(function: Any, shape: tuple[int, ...]) -> None:
    """Drop the programs of a `jax.jit` function after PROGRAMS other shapes, and all of JAX's caches after TRACES.

    Clearing all caches makes the caller's own functions compile again, so it happens less often.
    """
    if shape not in _traced_for and len(_traced_for) == TRACES:
        jax.clear_caches()
        _traced_for.clear()
        _compiled_for.clear()
    if shape not in _compiled_for and len(_compiled_for) == PROGRAMS:
        function.clear_cache()
        _compiled_for.clear()
    _traced_for.add(shape)
    _compiled_for.add(shape)
