"""The training loss: cross-entropy over the pixels that count, summed over the outputs.
Written from the logits, in at least float32; finite and with a defined gradient for every batch."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Bool, Float, Int
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.config.recipe import TrainConfig
from danet_tf.accelerated.collectives import all_gather, all_reduce_mean
from danet_tf.primitives import upcast


def segmentation_loss(
    outputs: Mapping[str, Float[Tensor, "b h w classes"]], labels: Int[Tensor, "b h w"], recipe: TrainConfig
) -> dict[str, Float[Tensor, ""]]:
    """Return the loss of every output, and as `loss` their sum with the recipe's weights."""
    losses = {name: cross_entropy(logits, labels, recipe) for name, logits in outputs.items()}
    weighted = [recipe.output_weights[name] * value for name, value in losses.items()]
    return {"loss": ops.sum(ops.stack(weighted)), **losses}


def cross_entropy(
    logits: Float[Tensor, "b h w classes"], labels: Int[Tensor, "b h w"], recipe: TrainConfig
) -> Float[Tensor, ""]:
    """Mean of -log softmax(logits)[label] over the pixels that count, each weighing as much as its class.

    Pixels whose label is `ignore_index`, or is no class at all, do not count; where none does, the loss is 0 and
    so are its gradients. With `loss_mean` all_pixels, the sum is divided by the number of pixels, void ones too.
    """
    valid = (labels != recipe.ignore_index) & (labels >= 0) & (labels < logits.shape[3])
    target = ops.where(valid, labels, ops.zeros_like(labels))  # before the gather, which must not meet 255
    log_probabilities = ops.log_softmax(upcast(logits), axis=3)
    log_probability = ops.take_along_axis(log_probabilities, target[..., None], axis=3)[..., 0]
    weight = ops.cast(valid, log_probability.dtype)
    if recipe.class_weights is not None:
        weight = weight * ops.take(ops.convert_to_tensor(recipe.class_weights, weight.dtype), target)
    if recipe.ohem_threshold is not None:
        probability = ops.stop_gradient(ops.exp(log_probability))
        weight = weight * ops.cast(hard_pixels(probability, valid, recipe.ohem_threshold, recipe), weight.dtype)
    counted = weight if recipe.loss_mean == "labelled_pixels" else ops.ones_like(weight)
    total = all_reduce_mean(ops.sum(counted))
    total = ops.where(total > 0, total, ops.ones_like(total))
    return -all_reduce_mean(ops.sum(weight * log_probability)) / total


def hard_pixels(
    probability: Float[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], threshold: float, recipe: TrainConfig
) -> Bool[Tensor, "b h w"]:
    """Online hard example mining (Shrivastava et al., CVPR 2016), as in mmseg and PaddleSeg.

    Hard pixels give their class less than the threshold's probability. At least `ohem_min_kept` for each picture, the
    hardest of the batch, count as hard.
    """
    every = all_gather(ops.where(valid, probability, 2 * ops.ones_like(probability)))
    ordered = ops.sort(ops.reshape(every, (-1,)))  # void comes last
    count = ops.minimum(ops.cast(recipe.ohem_min_kept, "int32") * ops.shape(every)[0], ops.shape(ordered)[0])
    below = probability < ops.cast(threshold, probability.dtype)
    return below | (probability <= ops.take(ordered, count - 1))
