"""Trains with `danet_tf`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from danet_common.checkpoint.parameter_layouts import from_channels_last
from danet_common.config import DANetConfig
from danet_common.config.recipe import TrainConfig
from danet_common.training import sharing
from danet_common.training.training_checkpoint import read_training
from danet_tf import DANet, load
from danet_tf.parameters import get_tensors, named_parameters
from danet_tf.training.losses import segmentation_loss
from danet_tf.training.state import capture, restore
from danet_tf.training.step import train_step
from shared_tests.workers.protocol import Groups
from shared_tests.workers.trainers.following import follow


def loss(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The losses of outputs (N, C, H, W), and the gradient of the whole one by each."""
    outputs = {name: tf.constant(array.transpose(0, 2, 3, 1)) for name, array in arrays["outputs"].items()}
    labels, recipe = tf.constant(arrays["input"]["labels"]), TrainConfig.from_dict(fields["recipe"])

    @tf.function
    def call(outputs: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            losses = segmentation_loss(outputs, labels, recipe)
        return losses, tape.gradient(losses["loss"], outputs)

    losses, gradients = call(outputs)
    actual = {
        name: tf.convert_to_tensor(gradient).numpy().transpose(0, 3, 1, 2) for name, gradient in gradients.items()
    }
    return {"losses": {name: value.numpy() for name, value in losses.items()}, "gradients": actual}


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
    x = tf.constant(arrays["input"]["x"].transpose(0, 2, 3, 1))
    leaves = list(named_parameters(model))

    @tf.function
    def call(x: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(tf.square(model(x, outputs=("fused",))["fused"]))
        return tape.gradient(total, (x, [leaf.value for _, leaf in leaves]), unconnected_gradients="zero")

    of_x, actual = call(x)
    named = {p.name: from_channels_last(p, array.numpy()) for (p, _), array in zip(leaves, actual, strict=True)}
    return {"gradients": {"x": of_x.numpy().transpose(0, 3, 1, 2), **named}}


def second_gradients(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Gradient, by the pixels (N, C, H, W), of the sum of the squared gradient of the pixels."""
    model = load(fields["checkpoint"], dtype="float64", layers=fields["layers"])

    @tf.function
    def call(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                total = tf.reduce_sum(tf.square(model(x, outputs=("fused",))["fused"]))
            size = tf.reduce_sum(tf.square(tape.gradient(total, x)))
        return outer.gradient(size, x)

    actual = call(tf.constant(arrays["input"]["x"].transpose(0, 2, 3, 1)))
    return {"gradients": {"x": actual.numpy().transpose(0, 3, 1, 2)}}


def kept(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Convolutions in the graph of a network and its gradient, by its layer set."""
    config, x = DANetConfig.from_dict(fields["config"]), tf.constant(arrays["input"]["x"].transpose(0, 2, 3, 1))

    @tf.function
    def gradients(model: DANet) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            total = sum(tf.reduce_sum(logits) for logits in model(x, training=True).values())
        return tape.gradient(total, [weight.value for weight in model.trainable_weights])

    actual = {}
    for layers in fields["layers"]:
        graph = gradients.get_concrete_function(DANet(config, layers=layers)).graph
        actual[layers] = np.array(sum(operation.type == "Conv2D" for operation in graph.get_operations()))
    return {"convolutions": actual}


def saved(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Save a network of this `dtype` to a `folder` with Keras, and describe the one that Keras reads."""
    path = Path(fields["folder"]) / "network.keras"
    DANet("danet_tiny", dtype=fields["dtype"]).save(path)
    again = keras.saving.load_model(path)
    kernel = again.head.fused_classifier.kernel
    return {"result": {"policy": np.array(again.dtype_policy.name), "kernel": np.array(kernel.dtype)}}
