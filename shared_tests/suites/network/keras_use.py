"""Jobs for a worker that holds `danet_tf`: uses of a network by Keras, on any of Keras's backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from danet_common import DANetConfig
from danet_tf.model import DANet
from danet_tf.parameters import get_tensors
from shared_tests.workers.protocol import Groups


def fitted(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The tensors after one step of `fit`, and after Keras has written the network and read it again."""
    model = DANet(DANetConfig.from_dict(fields["config"]))
    loss = {"fused": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    model.compile(keras.optimizers.SGD(0.1), loss=loss)
    model.fit(arrays["input"]["x"], {"fused": arrays["input"]["labels"]}, batch_size=2, verbose=0)
    folder = Path(fields["folder"])
    model.save(folder / "network.keras")
    model.save_weights(folder / "network.weights.h5")
    other = DANet(model.config, seed=1)
    other.load_weights(folder / "network.weights.h5")
    again = keras.models.load_model(folder / "network.keras")
    return {"fitted": get_tensors(model), "archive": get_tensors(again), "weights": get_tensors(other)}


def symbolic(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The outputs of a functional model of any size, and their sizes before it has seen a picture; -1 for any."""
    inputs = keras.Input((None, None, 3))
    outputs = DANet(DANetConfig.from_dict(fields["config"]))(inputs)
    shapes = {name: [-1 if size is None else size for size in output.shape] for name, output in outputs.items()}
    model = keras.Model(inputs, outputs)
    values = {name: keras.ops.convert_to_numpy(value) for name, value in model(arrays["input"]["x"]).items()}
    return {"shapes": {name: np.array(shape) for name, shape in shapes.items()}, "values": values}


def summary(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The summary of a network that has not been called, and its number of parameters."""
    model, lines = DANet(DANetConfig.from_dict(fields["config"])), list[str]()
    model.summary(print_fn=lambda line, line_break=False: lines.append(line))
    return {"summary": {"text": np.array("\n".join(lines)), "parameters": np.array(model.count_params())}}


def hdf5(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Logits of a network and of a functional model around another, before and after an `.h5` file."""
    network, inputs = DANet(DANetConfig.from_dict(fields["config"])), keras.Input((None, None, 3))
    outputs = DANet(network.config, seed=1)(inputs)["fused"]
    groups = {}
    for name, model in {"network": network, "functional": keras.Model(inputs, {"fused": outputs})}.items():
        path = Path(fields["folder"]) / f"{name}.h5"
        model.save(path)
        values = [one(arrays["input"]["x"])["fused"] for one in (model, keras.models.load_model(path))]
        groups[name] = dict(zip(("before", "after"), map(keras.ops.convert_to_numpy, values), strict=True))
    return groups


def exported(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The logits of a network that Keras has exported before its first call."""
    model = DANet(DANetConfig.from_dict(fields["config"]))
    model.export(fields["path"], format=fields["kind"], verbose=False)
    return {"fused": {name: keras.ops.convert_to_numpy(model(x)["fused"]) for name, x in arrays["input"].items()}}
