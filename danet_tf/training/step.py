"""Training, one step at a time: from a host's batch to gradients, and from gradients to weights.
A step depends on the recipe, the weights, the batch and the step's number alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from jaxtyping import Bool, Float, Int
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.config.layer_names import require_trainable
from danet_common.config.recipe import TrainConfig, learning_rate
from danet_common.numerics.dropout import dropout_masks
from danet_common.training.sharing import add_trees, microbatches
from danet_tf.accelerated.collectives import all_reduce_mean
from danet_tf.model import DANet
from danet_tf.training.distributed import Distributed, on_replicas
from danet_tf.training.losses import segmentation_loss
from danet_tf.training.optimizers import TorchOptimizer, apply_gradients, make_optimizer, trainable_leaves

TensorDict = dict[str, Tensor]

add_on_replicas = tf.function(on_replicas(add_trees))


@dataclass
class TrainState:
    """A run after `step` steps; `average` holds the weights' moving averages by canonical name, or is None."""

    model: DANet
    recipe: TrainConfig
    distributed: Distributed
    optimizer: TorchOptimizer
    average: TensorDict | None
    step: int = 0


def create_state(model: DANet, recipe: TrainConfig, distributed: Distributed) -> TrainState:
    """Return the state of a run before its first step, of a model on the devices of `distributed`.

    Raises CheckpointError for a network with `layers="cpu_inference"`.
    """
    require_trainable(model.layer_set, "trained")
    average = {parameter.name: ops.copy(leaf) for parameter, leaf in trainable_leaves(model)}
    optimizer = make_optimizer(model, recipe)
    return TrainState(model, recipe, distributed, optimizer, None if recipe.ema_decay is None else average)


def train_step(state: TrainState, batch: Mapping[str, np.ndarray], first_row: int = 0) -> TensorDict:
    """Update the weights once; return `loss` and the loss of every output, means over the microbatches.

    `batch` has `image` (N, H, W, C), normalised, and `labels` (N, H, W): this process's rows of the step's global
    batch, which begin at `first_row`. All processes take the step together, and find the same losses.
    """
    model, (count, height, width) = state.model, batch["labels"].shape
    recipe = state.recipe
    rows = range(first_row, first_row + count)
    masks = dropout_masks(model.config, recipe.seed, state.step, rows, height, width)
    shares = (
        compute_gradients(model, *to_tensors(state.distributed, batch, masks, part), recipe)
        for part in microbatches(count, recipe.gradient_accumulation_steps)
    )
    with state.distributed.scope():
        losses, gradients = functools.reduce(add_on_replicas, shares)
        wide = model.layer_set.precision.accumulate_dtype
        rate = tf.constant(learning_rate(recipe, state.step), wide)  # a number would be compiled in
        apply_gradients(model, state.optimizer, gradients, rate, recipe)
        if state.average is not None:
            state.average = update_ema(model, state.average, recipe)
    state.step += 1
    return {name: state.distributed.local(value) for name, value in losses.items()}


def to_tensors(
    distributed: Distributed, batch: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], part: np.ndarray
) -> tuple[Float[Tensor, "b h w c"], Int[Tensor, "b h w"], TensorDict]:
    """Return a microbatch of a process's batch on its devices, in the network's layout."""
    kept = {name: distributed.to_device(np.moveaxis(mask[part], 1, -1)) for name, mask in masks.items()}
    return distributed.to_device(batch["image"][part]), distributed.to_device(batch["labels"][part]), kept


@tf.function
@on_replicas
def compute_gradients(
    model: DANet,
    x: Float[Tensor, "b h w c"],
    labels: Int[Tensor, "b h w"],
    masks: Mapping[str, Bool[Tensor, ...]],
    recipe: TrainConfig,
) -> tuple[TensorDict, TensorDict]:
    """Return a microbatch's share of the losses and of the gradients, by name; moves the running statistics."""
    leaves = {parameter.name: leaf.value for parameter, leaf in trainable_leaves(model)}
    with tf.GradientTape() as tape:
        outputs = model(x, training=not recipe.frozen_batch_norm, dropout_masks=masks)
        losses = segmentation_loss(outputs, labels, recipe)
        shares = {name: value / recipe.gradient_accumulation_steps for name, value in losses.items()}
    gradients = tape.gradient(shares["loss"], leaves, unconnected_gradients="zero")
    return shares, all_reduce_mean(gradients)


@tf.function
@on_replicas
def update_ema(model: DANet, average: TensorDict, recipe: TrainConfig) -> TensorDict:
    """average + (1 - decay) * (weight - average)."""
    assert recipe.ema_decay is not None
    share, leaves = 1 - recipe.ema_decay, trainable_leaves(model)
    return {p.name: average[p.name] + share * (leaf - average[p.name]) for p, leaf in leaves}
