"""Seeded bugs in Winograd's convolution, which only networks made for it compute with."""

from __future__ import annotations

from shared_tests.golden_cases import CASES
from shared_tests.mutations import Mutation, alike

CASE = CASES["tiny"]

WINOGRAD = (
    Mutation(
        "tile_transposed",
        "a tile's rows and columns are exchanged where outputs go back to their places",
        CASE,
        alike("winograd.py", ("2, 3, 0, 4, 5, 1, 6, 7", "2, 3, 1, 4, 5, 0, 6, 7")),
    ),
    Mutation(
        "phases_ignored",
        "the pixels of a tile are neighbours: right without dilation only",
        CASE,
        alike("winograd.py", ("[i * dilation for i in range(SPAN)]", "list(range(SPAN))")),
    ),
    Mutation(
        "bands_overlap",
        "each band starts at the top",
        CASE,
        alike(
            "winograd.py",
            ("[:, first * step : (first + count + 1) * step + dilation]", "[:, 0 : (count + 1) * step + dilation]"),
        ),
    ),
    Mutation(
        "kernels_not_transformed",
        "the transformed kernels are those of the network before it was filled",
        CASE,
        alike("weights.py", ("    transform_kernels(model)\n", "")),
    ),
)
