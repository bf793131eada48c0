"""Training, one step at a time: from a host's batch to gradients, and from gradients to weights.
A step depends on the recipe, the weights, the batch and the step's number alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from danet_common.dropout import dropout_masks
from danet_common.recipe import TrainConfig, learning_rate
from danet_torch.losses import segmentation_loss
from danet_torch.model import DANet
from danet_torch.optimizers import apply_gradients, make_optimizer, trainable_leaves

Named = dict[str, Tensor]


@dataclass
class TrainState:
    """A run after `step` steps; `average` holds the weights' moving averages by canonical name, or is None."""

    model: DANet
    recipe: TrainConfig
    optimizer: torch.optim.Optimizer
    average: Named | None
    step: int = 0


def create_state(model: DANet, recipe: TrainConfig) -> TrainState:
    """A run before its first step."""
    average = {parameter.name: leaf.detach().clone() for parameter, leaf in trainable_leaves(model)}
    return TrainState(model, recipe, make_optimizer(model, recipe), None if recipe.average_decay is None else average)


def train_step(state: TrainState, batch: Mapping[str, np.ndarray], first_row: int = 0) -> Named:
    """One update of the weights; the loss of every output and `loss`, means over the batch's parts.

    `batch` has `image` (N, H, W, C), normalised, and `labels` (N, H, W): the rows of the step's global batch that
    begin at `first_row`.
    """
    model, recipe, (count, height, width) = state.model, state.recipe, batch["labels"].shape
    rows = range(first_row, first_row + count)
    masks = dropout_masks(model.config, recipe.seed, state.step, rows, height, width)
    model.train(not recipe.frozen_batch_norm)
    losses, gradients = Named(), Named()
    for part in np.split(np.arange(count), recipe.accumulation):
        x, labels, kept = to_tensors(model, batch["image"][part], batch["labels"][part], masks, part)
        found = compute_gradients(model, x, labels, kept, recipe)
        losses, gradients = added(losses, found[0]), added(gradients, found[1])
    apply_gradients(model, state.optimizer, gradients, learning_rate(recipe, state.step), recipe)
    if state.average is not None:
        state.average = update_average(model, state.average, recipe)
    state.step += 1
    return losses


def to_tensors(
    model: DANet, image: np.ndarray, labels: np.ndarray, masks: Mapping[str, np.ndarray], part: np.ndarray
) -> tuple[Float[Tensor, "b c h w"], Int[Tensor, "b h w"], Named]:
    """A part of a host's batch where the network is, in its layout."""
    device = model.head.fused_classifier.weight.device
    kept = {name: torch.from_numpy(mask[part]).to(device) for name, mask in masks.items()}
    x = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))
    return x.to(device), torch.from_numpy(labels).to(device), kept


def compute_gradients(
    model: DANet,
    x: Float[Tensor, "b c h w"],
    labels: Int[Tensor, "b h w"],
    masks: Mapping[str, Bool[Tensor, ...]],
    recipe: TrainConfig,
) -> tuple[Named, Named]:
    """One part's share of the losses and, by canonical name, of the gradients; moves the running statistics."""
    losses = segmentation_loss(model(x, masks=masks, recompute=recipe.recompute), labels, recipe)
    shares = {name: value / recipe.accumulation for name, value in losses.items()}
    shares["loss"].backward()
    gradients = Named()
    for parameter, leaf in trainable_leaves(model):
        gradients[parameter.name] = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        leaf.grad = None
    return {name: value.detach() for name, value in shares.items()}, gradients


def added(total: Named, part: Named) -> Named:
    """The sums by name; `total` may be empty."""
    return {name: total[name] + value if total else value for name, value in part.items()}


@torch.no_grad()
def update_average(model: DANet, average: Named, recipe: TrainConfig) -> Named:
    """average + (1 - decay) * (weight - average)."""
    assert recipe.average_decay is not None
    share, leaves = 1 - recipe.average_decay, trainable_leaves(model)
    return {p.name: average[p.name] + share * (leaf - average[p.name]) for p, leaf in leaves}
