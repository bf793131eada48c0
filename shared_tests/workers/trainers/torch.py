"""Trains with `danet_torch`."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from danet_common.config import DANetConfig
from danet_common.config.recipe import TrainConfig
from danet_common.training import sharing
from danet_common.training.training_checkpoint import read_training
from danet_torch import DANet, load
from danet_torch.parameters import get_tensors, named_parameters
from danet_torch.training.losses import segmentation_loss
from danet_torch.training.state import capture, restore
from danet_torch.training.step import train_step
from shared_tests.workers.protocol import Groups
from shared_tests.workers.trainers.following import follow


def loss(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The losses of outputs (N, C, H, W), and the gradient of the whole one by each."""
    outputs = {name: torch.from_numpy(array).requires_grad_() for name, array in arrays["outputs"].items()}
    labels = torch.from_numpy(arrays["input"]["labels"])
    losses = segmentation_loss(outputs, labels, TrainConfig.from_dict(fields["recipe"]))
    losses["loss"].backward()
    gradients = {name: output.grad.numpy() for name, output in outputs.items() if output.grad is not None}
    return {"losses": {name: value.detach().numpy() for name, value in losses.items()}, "gradients": gradients}


def initial(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The tensors of a network before training, by canonical name."""
    return {"tensors": get_tensors(DANet(DANetConfig.from_dict(fields["config"]), seed=fields["seed"]))}


def train(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Some steps of a run, in one thread: several spend more on waiting for each other than a tiny network costs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return follow(restore, train_step, capture, fields, arrays)
    finally:
        torch.set_num_threads(threads)


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
    x = torch.from_numpy(arrays["input"]["x"]).requires_grad_()
    model(x, outputs=("fused",))["fused"].square().sum().backward()
    assert x.grad is not None
    leaves = {parameter.name: leaf.grad for parameter, leaf in named_parameters(model)}
    return {"gradients": {"x": x.grad.numpy(), **{name: g.numpy() for name, g in leaves.items() if g is not None}}}


def second_gradients(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Gradient, by the pixels (N, C, H, W), of the sum of the squared gradient of the pixels."""
    model = load(fields["checkpoint"], dtype="float64", layers=fields["layers"])
    x = torch.from_numpy(arrays["input"]["x"]).requires_grad_()
    total = model(x, outputs=("fused",))["fused"].square().sum()
    (of_x,) = torch.autograd.grad(total, x, create_graph=True)
    (actual,) = torch.autograd.grad(of_x.square().sum(), x)
    return {"gradients": {"x": actual.numpy()}}


def kept(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Bytes that a network keeps for its gradient, by its layer set."""
    config, x, actual = DANetConfig.from_dict(fields["config"]), torch.from_numpy(arrays["input"]["x"]), {}
    for layers in fields["layers"]:
        actual[layers] = np.array(bytes_kept(DANet(config, layers=layers).train(), x))
    return {"bytes": actual}


def bytes_kept(model: DANet, x: torch.Tensor) -> int:
    """By autograd, for the gradient of one forward pass."""
    sizes: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(x)
    return sum(sizes)


def doubled(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The logits of a network of this `dtype` after `.double()`."""
    model, x = DANet("danet_tiny", dtype=fields["dtype"]).eval().double(), torch.from_numpy(arrays["input"]["x"])
    with torch.no_grad():
        return {"outputs": {name: logits.numpy() for name, logits in model(x).items()}}


def synchronise(fields: dict[str, Any], arrays: Groups) -> Groups:
    """Compare the network of `convert_sync_batchnorm` with the original."""
    model, other = (DANet(fields["variant"]).eval() for _ in range(2))
    other = nn.SyncBatchNorm.convert_sync_batchnorm(other)
    tensors, same, x = get_tensors(model), get_tensors(other), torch.ones(1, 3, 17, 23)
    with torch.no_grad():
        outputs, others = model(x), other(x)
    actual = {
        "converted": sum(isinstance(module, nn.SyncBatchNorm) for module in other.modules()),
        "same_names": list(tensors) == list(same),
        "same_outputs": all(torch.equal(outputs[name], others[name]) for name in outputs),
    }
    return {"result": {name: np.array(value) for name, value in actual.items()}}
