"""Seeded bugs in the folding of BatchNorm, which only folded networks are made by."""

from __future__ import annotations

from shared_tests.fixtures.cases import CASES
from shared_tests.mutation.mutations import Mutation, same_edit

CASE = CASES["tiny"]

FOLDING = (
    Mutation(
        "epsilon_forgotten",
        "a folded BatchNorm divides by the bare deviation",
        CASE,
        same_edit("FoldedTensors.factor", ("np.sqrt(variance + self.epsilon)", "np.sqrt(variance)")),
    ),
    Mutation(
        "mean_forgotten",
        "the running mean is not taken off",
        CASE,
        same_edit(
            "FoldedTensors.__getitem__", ("(bias.astype(np.float64) - mean)", "(bias.astype(np.float64) + 0 * mean)")
        ),
    ),
    Mutation(
        "shift_scaled",
        "the shift is scaled like the mean, as if it came before the scale",
        CASE,
        same_edit(
            "FoldedTensors.__getitem__",
            ("(shift + (bias.astype(np.float64) - mean)", "((shift + bias.astype(np.float64) - mean)"),
        ),
    ),
    Mutation(
        "kernels_not_scaled",
        "only biases are folded",
        CASE,
        same_edit(
            "FoldedTensors.__getitem__", ("if norm is None else scaled(kernel, self.factor(norm), self.dtype)", "")
        ),
    ),
)
