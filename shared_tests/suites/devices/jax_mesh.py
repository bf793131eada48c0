"""One network over eight simulated devices: argument, a float64 checkpoint."""

from __future__ import annotations

import json
import sys
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import weights_convert
from danet_common import open_checkpoint
from danet_common.config.tensors import Parameter
from danet_jax import DANet
from danet_jax.parameters import get_tensors, named_parameters
from shared_tests.fixtures.synthetic import synthetic_input
from shared_tests.suites.devices.counting import counted_reads


def load_counted(path: str, sharding: Any) -> tuple[DANet, dict[str, Any]]:
    """Load a network, and compare the bytes read with the bytes that its devices hold.

    `excess` names each tensor of which a read was larger than the largest part of a device. It also names each
    tensor of which all reads were larger than its distinct parts.
    """
    with counted_reads() as reads:
        model = weights_convert.to_jax(path, sharding=sharding)
    excess, split = [], 0
    for parameter, leaf in named_parameters(model):
        shards = leaf[...].addressable_shards
        itemsize = 8  # of the file: float64 and int64; JAX holds the counters in 32 bits
        parts = {str(shard.index): shard.data.size * itemsize for shard in shards}
        sizes = [size for name, size in reads if name == parameter.name]
        split += len(parts) > 1
        if max(sizes) > max(parts.values()) or sum(sizes) != sum(parts.values()):
            excess.append(parameter.name)
    return model, {"excess": excess, "split": split, "read": sum(size for _, size in reads), "reads": len(reads)}


def main(path: str) -> None:
    config = open_checkpoint(path).config
    x = synthetic_input(config, 4, 33, 47).astype(np.float64).transpose(0, 2, 3, 1)
    plain = weights_convert.to_jax(path)
    forward = nnx.jit(lambda model, x: model(x))
    expected, expected_tensors = forward(plain, x), get_tensors(plain)
    scale = {key: float(abs(logits).max()) for key, logits in expected.items()}
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))

    def inputs(parameter: Parameter) -> NamedSharding:
        """Input channels over both axes, for what has them in eights."""
        if parameter.kind == "kernel" and parameter.shape[1] % 8 == 0:
            return NamedSharding(mesh, PartitionSpec(None, None, ("data", "model")))
        return NamedSharding(mesh, PartitionSpec())

    actual: dict[str, Any] = {"devices": len(jax.devices())}
    batch = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    for name, sharding in {"mesh": mesh, "function": inputs, "device": jax.devices()[5]}.items():
        model, actual[name] = load_counted(path, sharding)
        tensors = get_tensors(model)
        actual[name]["equal"] = all(np.array_equal(tensors[key], expected_tensors[key]) for key in expected_tensors)
        if name != "device":
            logits = forward(model, batch)
            actual[name]["difference"] = max(
                float(abs(logits[key] - expected[key]).max() / scale[key]) for key in expected
            )
    actual["on the device"] = all(leaf[...].devices() == {jax.devices()[5]} for _, leaf in named_parameters(model))
    try:
        weights_convert.to_jax(path, sharding=jax.make_mesh((8,), ("model",), axis_types=(AxisType.Explicit,)))
    except ValueError as error:
        actual["explicit"] = str(error)
    print(json.dumps(actual))


if __name__ == "__main__":
    main(sys.argv[1])
