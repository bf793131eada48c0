"""Seeded bugs in what training starts from and what it minimises, which no forward pass can show."""

from __future__ import annotations

from shared_tests.fixtures.cases import CASES
from shared_tests.mutation.mutations import Mutation, edits_by_backend, same_edit

CASE = CASES["tiny"]

INITIALISATION = (
    Mutation(
        "bound_by_fan_out",
        "the head's bound is that of the outputs of a convolution instead of its inputs",
        CASE,
        same_edit("initial_distribution", ("1 / math.sqrt(_fan_in(kernel))", "1 / math.sqrt(_fan_out(kernel))")),
    ),
    Mutation(
        "bias_by_its_own_shape",
        "the bias's bound is that of its own length instead of its kernel's inputs",
        CASE,
        same_edit("initial_distribution", ("1 / math.sqrt(_fan_in(kernel))", "1 / math.sqrt(_fan_in(parameter))")),
    ),
    Mutation(
        "head_like_the_backbone",
        "the head is drawn by He's rule as the backbone is",
        CASE,
        same_edit("initial_distribution", ('name.startswith("backbone.")', 'name.startswith(("backbone.", "head."))')),
    ),
)

LOSS = (
    Mutation(
        "labelled_pixels_alone",
        "the loss is divided by the labelled pixels where all were asked",
        CASE,
        edits_by_backend(
            "cross_entropy",
            torch=("else torch.ones_like(weight)", "else torch.sign(weight)"),
            tf=("else ops.ones_like(weight)", "else ops.sign(weight)"),
            jax=("else jnp.ones_like(weight)", "else jnp.sign(weight)"),
        ),
    ),
    Mutation(
        "all_pixels_always",
        "the loss is divided by all pixels where the labelled ones were asked",
        CASE,
        edits_by_backend(
            "cross_entropy",
            torch=("weight if recipe.loss_mean", "weight if not recipe.loss_mean"),
            tf=("weight if recipe.loss_mean", "weight if not recipe.loss_mean"),
            jax=("weight if recipe.loss_mean", "weight if not recipe.loss_mean"),
        ),
    ),
)
