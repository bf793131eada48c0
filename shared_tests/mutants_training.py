"""Seeded bugs in what training starts from and what it minimises, which no judged forward pass can show."""

from __future__ import annotations

from shared_tests.golden_cases import CASES
from shared_tests.mutations import Mutation, common

CASE = CASES["tiny"]

INITIALISATION = (
    Mutation(
        "bound_by_fan_out",
        "the head's bound is that of the outputs of a convolution instead of its inputs",
        CASE,
        common("initialisation.py", ("1 / math.sqrt(_fan_in(", "1 / math.sqrt(_fan_out(")),
    ),
    Mutation(
        "bias_by_its_own_shape",
        "the bias's bound is that of its own length instead of its kernel's inputs",
        CASE,
        common("initialisation.py", ("math.sqrt(_fan_in(table[_kernel_of(name)]))", "math.sqrt(parameter.shape[0])")),
    ),
    Mutation(
        "head_like_the_backbone",
        "the head is drawn by He's rule as the backbone is",
        CASE,
        common("initialisation.py", ('name.startswith("backbone.")', 'name.startswith(("backbone.", "head."))')),
    ),
)
