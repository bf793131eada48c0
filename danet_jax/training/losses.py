"""The training loss: cross-entropy over the pixels that count, summed over the outputs.
Written from the logits, in at least float32; finite and with a defined gradient for every batch."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Bool, Float, Int

from danet_common.config.recipe import TrainConfig
from danet_jax.primitives import upcast


def segmentation_loss(
    outputs: Mapping[str, Float[Array, "b h w classes"]], labels: Int[Array, "b h w"], recipe: TrainConfig
) -> dict[str, Float[Array, ""]]:
    """Return the loss of every output, and as `loss` their sum with the recipe's weights."""
    losses = {name: cross_entropy(logits, labels, recipe) for name, logits in outputs.items()}
    weighted = [recipe.output_weights[name] * value for name, value in losses.items()]
    return {"loss": jnp.sum(jnp.stack(weighted)), **losses}


def cross_entropy(
    logits: Float[Array, "b h w classes"], labels: Int[Array, "b h w"], recipe: TrainConfig
) -> Float[Array, ""]:
    """Mean of -log softmax(logits)[label] over the pixels that count, each weighing as much as its class.

    Pixels whose label is `ignore_index`, or is no class at all, do not count; where none does, the loss is 0 and
    so are its gradients. With `loss_mean` all_pixels, the sum is divided by the number of pixels, void ones too.
    """
    valid = (labels != recipe.ignore_index) & (labels >= 0) & (labels < logits.shape[3])
    target = jnp.where(valid, labels, 0)  # before the gather, which must not meet 255
    log_probabilities = jax.nn.log_softmax(upcast(logits), axis=3)
    log_probability = jnp.take_along_axis(log_probabilities, target[..., None], axis=3)[..., 0]
    weight = valid.astype(log_probability.dtype)
    if recipe.class_weights is not None:
        weight = weight * jnp.asarray(recipe.class_weights, weight.dtype)[target]
    if recipe.ohem_threshold is not None:
        probability = jax.lax.stop_gradient(jnp.exp(log_probability))
        weight = weight * hard_pixels(probability, valid, recipe.ohem_threshold, recipe)
    counted = weight if recipe.loss_mean == "labelled_pixels" else jnp.ones_like(weight)
    total = jnp.sum(counted)
    return -jnp.sum(weight * log_probability) / jnp.where(total > 0, total, 1)


def hard_pixels(
    probability: Float[Array, "b h w"], valid: Bool[Array, "b h w"], threshold: float, recipe: TrainConfig
) -> Bool[Array, "b h w"]:
    """Online hard example mining (Shrivastava et al., CVPR 2016), as in mmseg and PaddleSeg.

    Hard pixels give their class less than the threshold's probability. At least `ohem_min_kept` for each picture, the
    hardest of the batch, count as hard.
    """
    every = jnp.where(valid, probability, 2)
    ordered = jnp.sort(every.flatten())  # void comes last
    count = min(recipe.ohem_min_kept * every.shape[0], ordered.shape[0])
    return (probability < threshold) | (probability <= ordered[count - 1])
