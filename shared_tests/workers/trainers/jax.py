"""Trains with `danet_jax`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import numpy as np
from flax import nnx
from jax import Array, export
from jax import numpy as jnp

from danet_common.config import DANetConfig
from danet_common.config.recipe import TrainConfig
from danet_common.numerics.dropout import dropout_masks
from danet_common.training import sharing
from danet_common.training.training_checkpoint import read_training
from danet_jax import DANet, load
from danet_jax.parameters import get_tensors
from danet_jax.training.distributed import init_distributed
from danet_jax.training.losses import segmentation_loss
from danet_jax.training.state import capture, restore
from danet_jax.training.step import compute_gradients, to_tensors, train_step
from shared_tests.workers.protocol import Groups
from shared_tests.workers.trainers.following import follow


def loss(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The losses of outputs (N, C, H, W), and the gradient of the whole one by each."""
    outputs = {name: jnp.asarray(array.transpose(0, 2, 3, 1)) for name, array in arrays["outputs"].items()}
    labels, recipe = jnp.asarray(arrays["input"]["labels"]), TrainConfig.from_dict(fields["recipe"])
    gradients, losses = loss_gradients(segmentation_loss, outputs, labels, recipe)
    actual = {name: np.asarray(gradient).transpose(0, 3, 1, 2) for name, gradient in gradients.items()}
    return {"losses": {name: np.asarray(value) for name, value in losses.items()}, "gradients": actual}


@functools.partial(jax.jit, static_argnums=(0, 3))
def loss_gradients(
    loss: Callable[..., dict[str, Array]], outputs: dict[str, Array], labels: Array, recipe: TrainConfig
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Gradients of the whole loss by the outputs, and all losses; compiled once a recipe and loss function."""

    def call(outputs: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        losses = loss(outputs, labels, recipe)
        return losses["loss"], losses

    return jax.grad(call, has_aux=True)(outputs)


def initial(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The tensors of a network before training, by canonical name."""
    return {"tensors": get_tensors(DANet(DANetConfig.from_dict(fields["config"]), seed=fields["seed"]))}


def train(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Some steps of a run."""
    return follow(restore, train_step, capture, fields, arrays)


def decided(fields: dict[str, Any], arrays: Groups) -> Groups:
    """True where a run is trained under activation checkpointing, by the `limits` of a device's pixels."""
    actual = {}
    for limit in fields["limits"]:
        with mock.patch.object(sharing, "REMAT_PIXELS", limit):
            state = restore(read_training(fields["start"]), pixels=arrays["batch"]["labels"].size)
        actual[str(limit)] = np.array(state.model.layer_set.name == "remat")
    return {"uses_remat": actual}


def gradients(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Gradients of the sum of the squared logits, by the pixels (N, C, H, W) and by the tensors."""
    model = load(fields["checkpoint"], dtype="float64", layers=fields["layers"])
    x = jnp.asarray(arrays["input"]["x"].transpose(0, 2, 3, 1))
    graph, state = nnx.split(model)
    weights, rest = nnx.split_state(state, nnx.Param, ...)

    def call(weights: nnx.State, x: Array) -> Array:
        return jnp.sum(jnp.square(nnx.merge(graph, weights, rest)(x, outputs=("fused",))["fused"]))

    of_weights, of_x = jax.jit(jax.grad(call, (0, 1)))(weights, x)
    nnx.update(model, of_weights)
    return {"gradients": {"x": np.asarray(of_x).transpose(0, 3, 1, 2), **get_tensors(model)}}


def second_gradients(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Gradient, by the pixels (N, C, H, W), of the sum of the squared gradient of the pixels."""
    model = load(fields["checkpoint"], dtype="float64", layers=fields["layers"])
    graph, state = nnx.split(model)

    def total(x: Array) -> Array:
        return jnp.sum(jnp.square(nnx.merge(graph, state)(x, outputs=("fused",))["fused"]))

    actual = jax.jit(jax.grad(lambda x: jnp.sum(jnp.square(jax.grad(total)(x)))))
    return {"gradients": {"x": np.asarray(actual(arrays["input"]["x"].transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)}}


def kept(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Bytes that a compiled network and its gradient hold at once, by the network's layer set."""
    config, x = DANetConfig.from_dict(fields["config"]), jnp.asarray(arrays["input"]["x"].transpose(0, 2, 3, 1))
    return {"bytes": {name: np.array(bytes_kept(DANet(config, layers=name), x)) for name in fields["layers"]}}


def bytes_kept(model: DANet, x: jax.Array) -> int:
    """By XLA, which may undo in its program what the traced one says."""

    @nnx.jit
    def gradients(model: DANet) -> nnx.State:
        return nnx.grad(lambda model: sum(map(jnp.sum, model(x).values())))(model)

    analysis = gradients.lower(model).compile().compiled.memory_analysis()
    assert analysis is not None
    return int(analysis.temp_size_in_bytes)


def lower_step(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The gradients of a batch that all devices share, lowered for TPUs from a machine that has none."""
    devices, recipe, rows, size = init_distributed(), TrainConfig(), fields["rows"], fields["size"]
    model = DANet(fields["variant"])
    model.train()
    graph, state = nnx.split(model)

    def step(state: nnx.State, x: Array, labels: Array, masks: dict[str, Array]) -> Any:
        model = nnx.merge(graph, state)
        return compute_gradients(model, x, labels, masks, recipe), nnx.state(model)

    batch = {"image": np.zeros((rows, size, size, 3), np.float32), "labels": np.zeros((rows, size, size), np.int32)}
    masks = dropout_masks(model.config, 0, 0, range(rows), size, size)
    shared = to_tensors(devices, batch, masks, np.arange(rows))
    program = export.export(jax.jit(step), platforms=["tpu"])(state, *shared)
    actual = {
        "platforms": np.array(program.platforms),
        "devices": np.array(program.nr_devices),
        "float64": np.array("f64" in program.mlir_module()),
    }
    return {"result": actual}
