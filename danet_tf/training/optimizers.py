"""Optimizers with torch's semantics: SGD with coupled weight decay, and AdamW; the head learns faster.

sgd    velocity = momentum * velocity + gradient + weight_decay * weight;   weight -= rate * velocity
adamw  weight -= rate * (mean / (sqrt(square) + epsilon) + weight_decay * weight), both averages bias-corrected

`rate` is the step's learning rate times the tensor's factor. All tensors decay, BatchNorm's and biases too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.checkpoint.parameter_layouts import from_channels_last, to_channels_last
from danet_common.config.recipe import TrainConfig, rate_factor
from danet_common.config.tensors import Parameter
from danet_common.training.training_checkpoint import slot_names
from danet_tf.parameters import get_leaf, named_parameters, set_leaf
from danet_tf.training.distributed import on_replicas


class TorchOptimizer(keras.optimizers.Optimizer):
    """Both optimizers of torch for Keras.

    Keras's own sgd folds the rate into the velocity and decouples the weight decay. Its adamw adds epsilon before the
    bias correction.
    """

    def __init__(self, model: keras.Model, recipe: TrainConfig) -> None:
        rate = keras.Variable(
            0.0, dtype=model.layer_set.precision.accumulate_dtype, trainable=False
        )  # Keras's own is float32
        super().__init__(learning_rate=lambda: rate.value)
        self.rate = rate
        self.recipe = recipe
        leaves = trainable_leaves(model)
        self.factors = [rate_factor(recipe, parameter.name) for parameter, _ in leaves]
        self.build([leaf for _, leaf in leaves])

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self.slots = {slot: self.add_optimizer_variables(variables, slot) for slot in slot_names(self.recipe)}

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple[tf.Tensor, tf.Variable]]) -> list[Any]:
        """Return the gradients as they are: those of all replicas together, which clipping needs."""
        return grads_and_vars

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """One tensor's update."""
        recipe, index = self.recipe, self._get_variable_index(variable)
        rate = ops.cast(learning_rate * self.factors[index], variable.dtype)
        if recipe.optimizer == "sgd":
            velocity = self.slots["momentum"][index]
            self.assign(velocity, recipe.momentum * velocity + (gradient + recipe.weight_decay * variable))
            self.assign_sub(variable, rate * velocity)
            return
        mean, square = self.slots["adam.mean"][index], self.slots["adam.square"][index]
        count = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(mean, (1 - recipe.adam_beta1) * (gradient - mean))
        self.assign_add(square, (1 - recipe.adam_beta2) * (ops.square(gradient) - square))
        mean = mean / (1 - recipe.adam_beta1**count)
        square = square / (1 - recipe.adam_beta2**count)
        update = mean / (ops.sqrt(square) + recipe.adam_epsilon) + recipe.weight_decay * variable
        self.assign_sub(variable, rate * update)


def make_optimizer(model: keras.Model, recipe: TrainConfig) -> TorchOptimizer:
    """Return an optimizer before its first step."""
    return TorchOptimizer(model, recipe)


def trainable_leaves(model: keras.layers.Layer) -> list[tuple[Parameter, keras.Variable]]:
    """Return the tensors that an optimizer updates."""
    return [(parameter, leaf) for parameter, leaf in named_parameters(model) if parameter.trainable]


def clip(gradients: dict[str, Tensor], limit: float) -> dict[str, Tensor]:
    """Return all gradients, scaled by one factor where their global norm is above the limit."""
    norm = ops.sqrt(ops.sum(ops.stack([ops.sum(ops.square(gradient)) for gradient in gradients.values()])))
    factor = ops.minimum(limit / (norm + 1e-6), 1)  # as torch.nn.utils.clip_grad_norm_
    return {name: gradient * factor for name, gradient in gradients.items()}


@tf.function
@on_replicas
def apply_gradients(
    model: keras.Model, optimizer: TorchOptimizer, gradients: dict[str, Tensor], rate: Tensor, recipe: TrainConfig
) -> None:
    """Update the weights and the optimizer's state."""
    if recipe.clip_norm is not None:
        gradients = clip(gradients, recipe.clip_norm)
    leaves = trainable_leaves(model)
    optimizer.rate.assign(rate)
    optimizer.apply([gradients[parameter.name] for parameter, _ in leaves], [leaf for _, leaf in leaves])


def get_slots(model: keras.Model, optimizer: TorchOptimizer, recipe: TrainConfig) -> dict[str, np.ndarray]:
    """Return the optimizer's state as `momentum.NAME` or `adam.mean.NAME` and `adam.square.NAME`, canonical."""
    slots = {}
    for slot in slot_names(recipe):
        for (parameter, _), value in zip(trainable_leaves(model), optimizer.slots[slot], strict=True):
            slots[f"{slot}.{parameter.name}"] = from_channels_last(parameter, get_leaf(value))
    return slots


def set_slots(
    model: keras.Model, optimizer: TorchOptimizer, recipe: TrainConfig, slots: Mapping[str, np.ndarray], step: int
) -> TorchOptimizer:
    """Return the optimizer with the state that `get_slots` gave after `step` steps."""
    optimizer.iterations.assign(step)
    for slot in slot_names(recipe):
        for (parameter, _), value in zip(trainable_leaves(model), optimizer.slots[slot], strict=True):
            set_leaf(value, to_channels_last(parameter, slots[f"{slot}.{parameter.name}"]))
    return optimizer
