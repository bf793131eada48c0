"""Trains with `danet_jax`."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from danet_common.recipe import TrainConfig
from danet_jax.losses import segmentation_loss
from danet_jax.resume import load_state, save_state
from danet_jax.train import train_step
from shared_tests.job import Groups
from shared_tests.trainers.following import follow


def loss(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The losses of outputs (N, C, H, W), and the gradient of the whole one by each."""
    outputs = {name: jnp.asarray(array.transpose(0, 2, 3, 1)) for name, array in arrays["outputs"].items()}
    labels, recipe = jnp.asarray(arrays["input"]["labels"]), TrainConfig.from_dict(fields["recipe"])

    def call(outputs: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        losses = segmentation_loss(outputs, labels, recipe)
        return losses["loss"], losses

    gradients, losses = jax.jit(jax.grad(call, has_aux=True))(outputs)
    found = {name: np.asarray(gradient).transpose(0, 3, 1, 2) for name, gradient in gradients.items()}
    return {"losses": {name: np.asarray(value) for name, value in losses.items()}, "gradients": found}


def train(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Some steps of a run."""
    return follow(load_state, train_step, save_state, fields, arrays)
