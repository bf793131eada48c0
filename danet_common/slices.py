"""How position attention divides its map, of N x N entries for N positions, so that its memory is linear in N."""

from __future__ import annotations

import math

# Entries of the map of one picture that are computed at once: 16 MiB in float32. Large enough that matrix products run
# at their full speed, small enough to stay in a processor's cache and to be allocated without asking the system for new
# pages each time, from 32 MiB on as much work as the products. Of one picture, because batches lie on several devices,
# or have no size yet when a program is exported.
SLICE_SIZE = 1 << 22

# Above such a sum of powers a block of PyTorch's asks for its largest energy: far from where they are not finite.
FAR = float(1 << 64)

LARGEST_SIZE = (1 << 31) - 1  # graphs count in 32 bits


def rows(positions: int, slice_size: int) -> int:
    """Rows (queries) of the map in each slice; `positions` where the whole map is one slice.

    Slices hold `slice_size` entries (of 1 to LARGEST_SIZE), or up to a row more, and are all but equal. `positions` may
    be a framework's integer, where only the running graph knows it.
    """
    most = -(-min(slice_size, LARGEST_SIZE) // positions)  # rounded up: at least one
    count = -(-positions // most)
    return -(-positions // count)


def block(slice_size: int) -> tuple[int, int]:
    """Queries and keys of a block of half as many entries, twice as many keys as queries: 8 MiB in float32."""
    queries = max(1, math.isqrt(slice_size) // 2)
    return queries, 2 * queries
