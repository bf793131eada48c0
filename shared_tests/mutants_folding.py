"""Seeded bugs in the folding of BatchNorm, which only folded networks are made by."""

from __future__ import annotations

from shared_tests.golden_cases import CASES
from shared_tests.mutations import Mutation, alike, common

CASE = CASES["tiny"]

FOLDING = (
    Mutation(
        "epsilon_forgotten",
        "a folded BatchNorm divides by the bare deviation",
        CASE,
        common("folding.py", ("np.sqrt(variance + self.epsilon)", "np.sqrt(variance)")),
    ),
    Mutation(
        "mean_forgotten",
        "the running mean is not taken off",
        CASE,
        common("folding.py", ("(bias.astype(np.float64) - mean)", "(bias.astype(np.float64) + 0 * mean)")),
    ),
    Mutation(
        "shift_scaled",
        "the shift is scaled like the mean, as if it came before the scale",
        CASE,
        common(
            "folding.py", ("(shift + (bias.astype(np.float64) - mean)", "((shift + bias.astype(np.float64) - mean)")
        ),
    ),
    Mutation(
        "kernels_not_scaled",
        "only biases are folded",
        CASE,
        common("folding.py", ("if norm is None else scaled(kernel, self.factor(norm), self.wide)", "")),
    ),
    Mutation(
        "activation_forgotten",
        "a folded convolution is not followed by its ReLU",
        CASE,
        alike("layers.py", ("conv(x, plus=plus, relu=True)", "conv(x, plus=plus)")),
    ),
)
