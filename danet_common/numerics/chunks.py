"""Sizes of the chunks in which attention computes its map, so that its memory is linear in the positions."""

from __future__ import annotations

import math

# Entries of an image's map that are computed at once: 16 MiB in float32. Matrix products of that size run at full
# speed, and the chunk stays in a processor's cache. The batch does not count: it may be on several devices, or have no
# size yet when a program is exported.
CHUNK_SIZE = 1 << 22

LARGEST_CHUNK = (1 << 31) - 1  # compiled programs count in 32 bits


def chunk_rows(positions: int, chunk_size: int) -> int:
    """Return the rows (queries) of the map in each chunk: about `chunk_size` entries (1 to LARGEST_CHUNK).

    A chunk has at most 1 row more than that, and all chunks are nearly equal. `positions` may be a framework's integer
    without a value yet.
    """
    most = -(-min(chunk_size, LARGEST_CHUNK) // positions)  # rounded up: at least one
    count = -(-positions // most)
    return -(-positions // count)


def flash_block(chunk_size: int) -> tuple[int, int]:
    """Return queries and keys of one block: half as many entries as a chunk, twice as many keys as queries."""
    queries = max(1, math.isqrt(chunk_size) // 2)
    return queries, 2 * queries
