"""The Flax network lowered for accelerators that are not here: argument, a float32 checkpoint."""

from __future__ import annotations

import json
import sys
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array, export
from jax import numpy as jnp

import danet_jax
from danet_common import DANetConfig, open_checkpoint
from danet_jax.parameters import named_parameters
from shared_tests.fixtures.synthetic import synthetic_input

PLATFORMS = (("tpu",), ("cuda",), ("cpu", "cuda", "tpu"))


def lower(config: DANetConfig | str, platforms: tuple[str, ...], batch: Any) -> export.Exported:
    """A program from the network's tensors, by canonical name, and images (batch, 65, 97, channels) to logits."""

    def network() -> danet_jax.DANet:
        model = danet_jax.DANet(config, seed=None)
        model.eval()
        return model

    def forward(tensors: dict[str, Array], x: Array) -> dict[str, Array]:
        model = nnx.eval_shape(network)
        for parameter, leaf in named_parameters(model):
            leaf.set_value(tensors[parameter.name])
        return model(x)

    shapes = nnx.eval_shape(network)
    tensors = {
        parameter.name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for parameter, leaf in named_parameters(shapes)
    }
    x = jax.ShapeDtypeStruct((batch, 65, 97, shapes.config.in_channels), jnp.float32)
    return export.export(jax.jit(forward), platforms=platforms)(tensors, x)


def main(path: str) -> None:
    config = open_checkpoint(path).config
    lowered = []
    for network in (config, "danet_r50"):
        for platforms in PLATFORMS:
            program = lower(network, platforms, export.symbolic_shape("b")[0])
            again = export.deserialize(program.serialize())
            lowered.append({"asked": platforms, "got": again.platforms, "float64": "f64" in again.mlir_module()})
    model = danet_jax.load(path)
    tensors = {parameter.name: leaf[...] for parameter, leaf in named_parameters(model)}
    program = export.deserialize(lower(config, PLATFORMS[-1], export.symbolic_shape("b")[0]).serialize())
    x = synthetic_input(config, 3, 65, 97).transpose(0, 2, 3, 1)
    expected = nnx.jit(lambda model, x: model(x))(model, x)
    logits, first = program.call(tensors, x), program.call(tensors, x[:1])
    differences = [
        max(float(np.abs(actual[key] - expected[key][: len(actual[key])]).max()) for key in expected)
        for actual in (logits, first)
    ]
    print(json.dumps({"lowered": lowered, "differences": differences}))


if __name__ == "__main__":
    main(sys.argv[1])
