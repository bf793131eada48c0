"""The training loss: cross-entropy over the pixels that count, summed over the outputs.
Written from the logits, in at least float32; finite and with a defined gradient for every batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from danet_common.config.recipe import TrainConfig
from danet_torch.accelerated.collectives import all_gather, all_reduce_mean
from danet_torch.primitives import upcast


def segmentation_loss(
    outputs: Mapping[str, Float[Tensor, "b classes h w"]], labels: Int[Tensor, "b h w"], recipe: TrainConfig
) -> dict[str, Float[Tensor, ""]]:
    """Return the loss of every output, and as `loss` their sum with the recipe's weights."""
    losses = {name: cross_entropy(logits, labels, recipe) for name, logits in outputs.items()}
    weighted = [recipe.output_weights[name] * value for name, value in losses.items()]
    return {"loss": torch.sum(torch.stack(weighted)), **losses}


def cross_entropy(
    logits: Float[Tensor, "b classes h w"], labels: Int[Tensor, "b h w"], recipe: TrainConfig
) -> Float[Tensor, ""]:
    """Mean of -log softmax(logits)[label] over the pixels that count, each weighing as much as its class.

    Pixels whose label is `ignore_index`, or is no class at all, do not count; where none does, the loss is 0 and
    so are its gradients. With `loss_mean` all_pixels, the sum is divided by the number of pixels, void ones too.
    """
    valid = (labels != recipe.ignore_index) & (labels >= 0) & (labels < logits.shape[1])
    target = torch.where(valid, labels, 0).long()  # before the gather, which must not meet 255
    log_probability = torch.log_softmax(upcast(logits), dim=1).gather(1, target[:, None])[:, 0]
    weight = valid.to(log_probability.dtype)
    if recipe.class_weights is not None:
        weight = weight * torch.tensor(recipe.class_weights, dtype=weight.dtype, device=weight.device)[target]
    if recipe.ohem_threshold is not None:
        weight = weight * hard_pixels(torch.exp(log_probability).detach(), valid, recipe.ohem_threshold, recipe)
    counted = weight if recipe.loss_mean == "labelled_pixels" else torch.ones_like(weight)
    total = all_reduce_mean(torch.sum(counted))
    return -all_reduce_mean(torch.sum(weight * log_probability)) / torch.where(total > 0, total, 1)


def hard_pixels(
    probability: Float[Tensor, "b h w"], valid: Bool[Tensor, "b h w"], threshold: float, recipe: TrainConfig
) -> Bool[Tensor, "b h w"]:
    """Online hard example mining (Shrivastava et al., CVPR 2016), as in mmseg and PaddleSeg.

    Hard pixels give their class less than the threshold's probability. At least `ohem_min_kept` for each picture, the
    hardest of the batch, count as hard.
    """
    every = all_gather(torch.where(valid, probability, 2))
    ordered = torch.sort(every.flatten()).values  # void comes last
    count = min(recipe.ohem_min_kept * every.shape[0], ordered.shape[0])
    return (probability < threshold) | (probability <= ordered[count - 1])
