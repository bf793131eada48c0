"""Runs jobs on `danet_torch`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import danet_torch
from danet_torch.model import DANet
from danet_torch.parameters import get_leaf, named_parameters
from shared_tests.workers.protocol import Request, Response


def run(request: Request) -> Response:
    """One pass of the PyTorch network."""
    set_precision(request.precision)
    device = torch.device("cuda" if request.device == "accelerator" and torch.cuda.is_available() else "cpu")
    model = danet_torch.load(request.checkpoint, dtype=request.dtype, layers=request.layers)
    model.to(device).train(request.training)
    x = torch.from_numpy(np.array(request.x)).to(device)
    call = torch.compile(model, fullgraph=True) if request.mode == "compile" else model
    with torch.inference_mode(not request.cotangents):  # as `danet predict` does
        values = call(x, outputs=request.asked, taps=request.taps)
    response = Response(
        outputs={name: array(values[name]) for name in model.config.outputs if name in values},
        taps={name: array(values[name]) for name in request.taps},
        flags=flags(device),
    )
    if request.training:
        response.statistics = {p.name: get_leaf(leaf) for p, leaf in named_parameters(model) if not p.trainable}
    if request.cotangents:
        products = [values[name] * torch.from_numpy(c).to(device) for name, c in request.cotangents.items()]
        torch.stack([torch.sum(product) for product in products]).sum().backward()
        response.gradients = gradients(model)
    return response


def set_precision(precision: str) -> None:
    """Allow TF32, or not, in matrix products and in cuDNN's convolutions, which have a switch each."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "fast"
    torch.backends.cudnn.allow_tf32 = precision == "fast"


def gradients(model: DANet) -> dict[str, np.ndarray]:
    """Canonical name -> gradient, zero where the loss does not depend on the parameter."""
    leaves = [(p.name, leaf) for p, leaf in named_parameters(model) if p.trainable]
    return {name: get_leaf(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad) for name, leaf in leaves}


def array(value: torch.Tensor) -> np.ndarray:
    """A float32 or float64 array; bfloat16 is widened without loss."""
    value = value.detach().cpu()
    return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()


def flags(device: torch.device) -> dict[str, Any]:
    """Return the flags that this framework ran with."""
    tf32 = {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}
    on_gpu = device.type == "cuda"
    return {
        "torch": torch.__version__,
        "device": "gpu" if on_gpu else "cpu",
        "device_name": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "precision": {frozenset([False]): "highest", frozenset([True]): "fast"}.get(frozenset(tf32), "mixed"),
    }
