"""Runs jobs on `danet_jax`."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import numpy as jnp

import danet_jax
from danet_jax.model import DANet
from danet_jax.parameters import get_leaf, get_tensors, named_parameters
from shared_tests.workers.protocol import Request, Response

PRECISIONS = {"highest": "highest", "fast": "tensorfloat32"}  # Request's word -> JAX's


def run(request: Request) -> Response:
    """One pass of the Flax network."""
    device = jax.devices()[0] if request.device == "accelerator" else jax.devices("cpu")[0]
    with jax.default_device(device), jax.default_matmul_precision(PRECISIONS[request.precision]):
        return run_here(request)


def run_here(request: Request) -> Response:
    """One pass on the default device."""
    model = danet_jax.load(request.checkpoint, dtype=request.dtype, layers=request.layers)
    if request.training:
        model.train()
    x = jnp.asarray(request.x.transpose(0, 2, 3, 1))

    def call(model: DANet, x: jax.Array) -> dict[str, jax.Array]:
        return model(x, outputs=request.asked, taps=request.taps)

    response = Response(outputs={}, flags=flags())
    if request.cotangents:
        values, response.gradients = gradients(model, x, request)
    else:
        values = (nnx.jit(call) if request.mode == "jit" else call)(model, x)
    response.outputs = {name: array(values[name]) for name in model.config.outputs if name in values}
    response.taps = {name: array(values[name]) for name in request.taps}
    if request.training:
        response.statistics = {p.name: get_leaf(leaf) for p, leaf in named_parameters(model) if not p.trainable}
    return response


def gradients(model: DANet, x: jax.Array, request: Request) -> tuple[dict[str, jax.Array], dict[str, np.ndarray]]:
    """The network's values, and canonical name -> gradient."""

    def loss(model: DANet) -> tuple[jax.Array, dict[str, jax.Array]]:
        values = model(x, outputs=request.asked, taps=request.taps)
        products = [values[name] * c.transpose(0, 2, 3, 1) for name, c in request.cotangents.items()]
        return jnp.sum(jnp.stack([jnp.sum(product) for product in products])), values

    actual, values = nnx.jit(nnx.grad(loss, has_aux=True))(model)
    holder = nnx.clone(model)
    nnx.update(holder, actual)  # the gradients take the parameters' places, and so get their names
    trainable = {p.name for p, _ in named_parameters(model) if p.trainable}
    return values, {name: tensor for name, tensor in get_tensors(holder).items() if name in trainable}


def array(value: jax.Array) -> np.ndarray:
    """A float32 or float64 array in N,C,H,W; bfloat16 is widened without loss."""
    actual = np.asarray(value.astype(jnp.float32) if value.dtype == jnp.bfloat16 else value)
    return actual.transpose(0, 3, 1, 2) if actual.ndim == 4 else actual


def flags() -> dict[str, Any]:
    """Return the flags that this framework ran with."""
    (device,) = jnp.zeros(()).devices()
    used = str(jax.config.jax_default_matmul_precision)  # type: ignore[attr-defined]
    return {
        "jax": jax.__version__,
        "device": {"cuda": "gpu", "rocm": "gpu"}.get(device.platform, device.platform),
        "device_name": device.device_kind,
        "precision": {used: word for word, used in PRECISIONS.items()}.get(used, "mixed"),
        "x64": bool(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
    }
