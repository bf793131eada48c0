"""Training, one step at a time: from a host's batch to gradients, and from gradients to weights.
A step depends on the recipe, the weights, the batch and the step's number alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from danet_common.config.layer_names import require_trainable
from danet_common.config.recipe import TrainConfig, learning_rate
from danet_common.numerics.dropout import dropout_masks
from danet_common.training.sharing import add_trees, microbatches
from danet_torch.model import DANet
from danet_torch.training.distributed import Distributed, replicate
from danet_torch.training.losses import segmentation_loss
from danet_torch.training.optimizers import apply_gradients, make_optimizer, trainable_leaves

TensorDict = dict[str, Tensor]


@dataclass
class TrainState:
    """A run after `step` steps; `average` holds the weights' moving averages by canonical name, or is None."""

    model: DANet
    recipe: TrainConfig
    distributed: Distributed
    optimizer: torch.optim.Optimizer
    average: TensorDict | None
    network: nn.Module  # what a step calls: the model, or DistributedDataParallel of it
    step: int = 0


def create_state(model: DANet, recipe: TrainConfig, distributed: Distributed) -> TrainState:
    """Return the state of a run before its first step, of a model on the devices of `distributed`.

    Raises CheckpointError for a network with `layers="cpu_inference"`.
    """
    require_trainable(model.layer_set, "trained")
    if distributed.process_count > 1 and distributed.placement.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # torch's own kernels; they refuse the CPU
    average = {parameter.name: leaf.detach().clone() for parameter, leaf in trainable_leaves(model)}
    network = model if distributed.process_count == 1 else replicate(model)
    optimizer = make_optimizer(model, recipe)
    return TrainState(model, recipe, distributed, optimizer, None if recipe.ema_decay is None else average, network)


def train_step(state: TrainState, batch: Mapping[str, np.ndarray], first_row: int = 0) -> TensorDict:
    """Update the weights once; return `loss` and the loss of every output, means over the microbatches.

    `batch` has `image` (N, H, W, C), normalised, and `labels` (N, H, W): this process's rows of the step's global
    batch, which begin at `first_row`. All processes take the step together, and find the same losses.
    """
    model, (count, height, width) = state.model, batch["labels"].shape
    recipe = state.recipe
    rows = range(first_row, first_row + count)
    masks = dropout_masks(model.config, recipe.seed, state.step, rows, height, width)
    model.train(not recipe.frozen_batch_norm)
    shares = (
        compute_gradients(state.network, *to_tensors(state.distributed, batch, masks, part), recipe)
        for part in microbatches(count, recipe.gradient_accumulation_steps)
    )
    losses, gradients = functools.reduce(add_trees, shares)
    apply_gradients(model, state.optimizer, gradients, learning_rate(recipe, state.step), recipe)
    if state.average is not None:
        state.average = update_ema(model, state.average, recipe)
    state.step += 1
    return losses


def to_tensors(
    distributed: Distributed, batch: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], part: np.ndarray
) -> tuple[Float[Tensor, "b c h w"], Int[Tensor, "b h w"], TensorDict]:
    """Return a microbatch of a process's batch on its devices, in the network's layout."""
    kept = {name: distributed.to_device(mask[part]) for name, mask in masks.items()}
    return (
        distributed.to_device(batch["image"][part].transpose(0, 3, 1, 2)),
        distributed.to_device(batch["labels"][part]),
        kept,
    )


def compute_gradients(
    model: nn.Module,
    x: Float[Tensor, "b c h w"],
    labels: Int[Tensor, "b h w"],
    masks: Mapping[str, Bool[Tensor, ...]],
    recipe: TrainConfig,
) -> tuple[TensorDict, TensorDict]:
    """Return a microbatch's share of the losses and of the gradients, by name; moves the running statistics."""
    losses = segmentation_loss(model(x, dropout_masks=masks), labels, recipe)
    shares = {name: value / recipe.gradient_accumulation_steps for name, value in losses.items()}
    shares["loss"].backward()
    gradients = TensorDict()
    for parameter, leaf in trainable_leaves(getattr(model, "module", model)):
        gradients[parameter.name] = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        leaf.grad = None
    return {name: value.detach() for name, value in shares.items()}, gradients


@torch.no_grad()
def update_ema(model: DANet, average: TensorDict, recipe: TrainConfig) -> TensorDict:
    """average + (1 - decay) * (weight - average)."""
    assert recipe.ema_decay is not None
    share, leaves = 1 - recipe.ema_decay, trainable_leaves(model)
    return {p.name: average[p.name] + share * (leaf - average[p.name]) for p, leaf in leaves}
