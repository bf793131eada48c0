"""Optimizers with torch's semantics: SGD with coupled weight decay, and AdamW; the head learns faster.

sgd    velocity = momentum * velocity + gradient + weight_decay * weight;   weight -= rate * velocity
adamw  weight -= rate * (mean / (sqrt(square) + epsilon) + weight_decay * weight), both averages bias-corrected

`rate` is the step's learning rate times the tensor's factor. All tensors decay, BatchNorm's and biases too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from danet_common.config.recipe import TrainConfig, rate_factor
from danet_common.config.tensors import Parameter
from danet_common.training.training_checkpoint import slot_names
from danet_torch.parameters import get_leaf, named_parameters, set_leaf

SLOTS = {"momentum": "momentum_buffer", "adam.mean": "exp_avg", "adam.square": "exp_avg_sq"}  # in torch's words


def make_optimizer(model: nn.Module, recipe: TrainConfig) -> torch.optim.Optimizer:
    """Return an optimizer before its first step."""
    groups: dict[float, list[Tensor]] = {}
    for parameter, leaf in trainable_leaves(model):
        groups.setdefault(rate_factor(recipe, parameter.name), []).append(leaf)
    grouped = [{"params": leaves, "factor": factor} for factor, leaves in groups.items()]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(grouped, recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay)
    decays = (recipe.adam_beta1, recipe.adam_beta2)
    return torch.optim.AdamW(grouped, recipe.learning_rate, decays, recipe.adam_epsilon, recipe.weight_decay)


def trainable_leaves(model: nn.Module) -> list[tuple[Parameter, Tensor]]:
    """Return the tensors that an optimizer updates."""
    return [(parameter, leaf) for parameter, leaf in named_parameters(model) if parameter.trainable]


def clip(gradients: dict[str, Tensor], limit: float) -> dict[str, Tensor]:
    """Return all gradients, scaled by one factor where their global norm is above the limit."""
    norm = torch.sqrt(torch.sum(torch.stack([torch.sum(torch.square(gradient)) for gradient in gradients.values()])))
    factor = torch.clamp(limit / (norm + 1e-6), max=1)  # as torch.nn.utils.clip_grad_norm_
    return {name: gradient * factor for name, gradient in gradients.items()}


@torch.no_grad()
def apply_gradients(
    model: nn.Module, optimizer: torch.optim.Optimizer, gradients: dict[str, Tensor], rate: float, recipe: TrainConfig
) -> None:
    """Update the weights and the optimizer's state."""
    if recipe.clip_norm is not None:
        gradients = clip(gradients, recipe.clip_norm)
    for parameter, leaf in trainable_leaves(model):
        leaf.grad = gradients[parameter.name]
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    optimizer.step()
    optimizer.zero_grad()


def get_slots(model: nn.Module, optimizer: torch.optim.Optimizer, recipe: TrainConfig) -> dict[str, np.ndarray]:
    """Return the optimizer's state as `momentum.NAME` or `adam.mean.NAME` and `adam.square.NAME`, canonical."""
    slots = {}
    for slot in slot_names(recipe):
        for parameter, leaf in trainable_leaves(model):
            value = optimizer.state[leaf].get(SLOTS[slot])  # absent before the first step
            slots[f"{slot}.{parameter.name}"] = get_leaf(torch.zeros_like(leaf) if value is None else value)
    return slots


def set_slots(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: TrainConfig,
    slots: Mapping[str, np.ndarray],
    step: int,
) -> torch.optim.Optimizer:
    """Return the optimizer with the state that `get_slots` gave after `step` steps."""
    for parameter, leaf in trainable_leaves(model):
        state = optimizer.state[leaf]
        if recipe.optimizer == "adamw":
            state["step"] = torch.tensor(float(step))
        for slot in slot_names(recipe):
            state[SLOTS[slot]] = torch.zeros_like(leaf)
            set_leaf(state[SLOTS[slot]], slots[f"{slot}.{parameter.name}"])
    return optimizer
