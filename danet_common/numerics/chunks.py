"""Sizes of the chunks in which attention computes its map, so that its memory is linear in the positions."""

from __future__ import annotations

import math

# Entries of one picture's map that are computed at once: 16 MiB in float32. Matrix products of that size run at full
# speed, and the chunk stays in a processor's cache. Counted for one picture, because the batch may lie on several
# devices, or have no size yet when a program is exported.
CHUNK_SIZE = 1 << 22

LARGEST_CHUNK = (1 << 31) - 1  # compiled programs count in 32 bits


def chunk_rows(positions: int, chunk_size: int) -> int:
    """Return the rows (queries) of the map in each chunk; `positions` where the whole map is one chunk.

    A chunk holds `chunk_size` entries (1 to LARGEST_CHUNK), or up to one row more. All chunks are nearly equal.
    `positions` may be a framework's integer, whose value only the running program knows.
    """
    most = -(-min(chunk_size, LARGEST_CHUNK) // positions)  # rounded up: at least one
    count = -(-positions // most)
    return -(-positions // count)


def flash_block(chunk_size: int) -> tuple[int, int]:
    """Return queries and keys of one block: half as many entries as a chunk, twice as many keys as queries."""
    queries = max(1, math.isqrt(chunk_size) // 2)
    return queries, 2 * queries
