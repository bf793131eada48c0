"""Optimizers with torch's semantics: SGD with coupled weight decay, and AdamW; the head learns faster.

sgd    velocity = momentum * velocity + gradient + weight_decay * weight;   weight -= rate * velocity
adamw  weight -= rate * (mean / (sqrt(square) + epsilon) + weight_decay * weight), both averages bias-corrected

`rate` is the step's learning rate times the tensor's factor. All tensors decay, BatchNorm's and biases too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import optax
from flax import nnx
from jax import Array
from jax import numpy as jnp

from danet_common.checkpoint.parameter_layouts import from_channels_last, to_channels_last
from danet_common.config.recipe import TrainConfig, rate_factor
from danet_common.config.tensors import Parameter
from danet_common.training.training_checkpoint import slot_names
from danet_jax.parameters import named_parameters

SLOTS = {"momentum": "trace", "adam.mean": "mu", "adam.square": "nu"}  # in Optax's words


def transformation(recipe: TrainConfig) -> optax.GradientTransformation:
    """Return Optax's optimizer without the learning rate; `apply_gradients` subtracts `rate` times its output."""
    decay = optax.add_decayed_weights(recipe.weight_decay)
    if recipe.optimizer == "sgd":
        return optax.chain(decay, optax.trace(recipe.momentum))
    return optax.chain(optax.scale_by_adam(recipe.adam_beta1, recipe.adam_beta2, recipe.adam_epsilon), decay)


def make_optimizer(model: nnx.Module, recipe: TrainConfig) -> optax.OptState:
    """Return an optimizer before its first step."""
    return transformation(recipe).init({parameter.name: leaf[...] for parameter, leaf in trainable_leaves(model)})


def trainable_leaves(model: nnx.Module) -> list[tuple[Parameter, nnx.Variable]]:
    """Return the tensors that an optimizer updates."""
    return [(parameter, leaf) for parameter, leaf in named_parameters(model) if parameter.trainable]


def clip(gradients: dict[str, Array], limit: float) -> dict[str, Array]:
    """Return all gradients, scaled by one factor where their global norm is above the limit."""
    norm = jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(jnp.square(gradient)) for gradient in gradients.values()])))
    factor = jnp.minimum(limit / (norm + 1e-6), 1)  # as torch.nn.utils.clip_grad_norm_
    return {name: gradient * factor for name, gradient in gradients.items()}


@nnx.jit(static_argnames="recipe", donate_argnames=("optimizer", "gradients"))
def apply_gradients(
    model: nnx.Module, optimizer: optax.OptState, gradients: dict[str, Array], rate: float, recipe: TrainConfig
) -> optax.OptState:
    """Update the weights and the optimizer's state."""
    if recipe.clip_norm is not None:
        gradients = clip(gradients, recipe.clip_norm)
    weights = {parameter.name: leaf[...] for parameter, leaf in trainable_leaves(model)}
    updates, optimizer = transformation(recipe).update(gradients, optimizer, weights)
    for parameter, leaf in trainable_leaves(model):
        name = parameter.name
        leaf[...] = weights[name] - jnp.asarray(rate * rate_factor(recipe, name), leaf.dtype) * updates[name]
    return optimizer


def get_slots(model: nnx.Module, optimizer: optax.OptState, recipe: TrainConfig) -> dict[str, np.ndarray]:
    """Return the optimizer's state as `momentum.NAME` or `adam.mean.NAME` and `adam.square.NAME`, canonical."""
    slots = {}
    for slot in slot_names(recipe):
        values = optax.tree.get(optimizer, SLOTS[slot])
        for parameter, _ in trainable_leaves(model):
            slots[f"{slot}.{parameter.name}"] = from_channels_last(parameter, np.asarray(values[parameter.name]))
    return slots


def set_slots(
    model: nnx.Module, optimizer: optax.OptState, recipe: TrainConfig, slots: Mapping[str, np.ndarray], step: int
) -> optax.OptState:
    """Return the optimizer with the state that `get_slots` gave after `step` steps."""
    if recipe.optimizer == "adamw":
        optimizer = optax.tree.set(optimizer, count=jnp.asarray(step, jnp.int32))
    for slot in slot_names(recipe):
        values = {
            parameter.name: jnp.asarray(to_channels_last(parameter, slots[f"{slot}.{parameter.name}"]), leaf.dtype)
            for parameter, leaf in trainable_leaves(model)
        }
        optimizer = optax.tree.set(optimizer, **{SLOTS[slot]: values})
    return optimizer
