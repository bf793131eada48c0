"""Print the memory of the Flax network on a TPU, without a TPU: `python benchmarks/tpu.py`.

Needs `pip install libtpu`, whose compiler needs only the name of a topology. Prints the bytes of the prediction's
arguments (weights and pictures), outputs and temporaries.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no TPU to ask
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")

import jax
from jax import numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from option_types import size

from danet_common import VARIANTS
from danet_common.numerics import chunks
from danet_jax.accelerated.abstract import abstract_network

MIB = 1 << 20


def compiled_memory(variant: str, height: int, width: int, dtype: str, topology: str) -> dict[str, int]:
    """Return the bytes of the program of one device for one picture."""
    devices = topologies.get_topology_desc(topology, platform="tpu").devices
    sharding = NamedSharding(Mesh(devices[:1], ("data",)), PartitionSpec())
    model = abstract_network(variant, dtype)
    model.eval()
    model = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), model)
    x = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32, sharding=sharding)
    predict = jax.jit(lambda model, x: model(x, outputs=("fused",))["fused"])
    analysis = predict.lower(model, x).compile().memory_analysis()
    names = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return {name.partition("_")[0]: getattr(analysis, name) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, default="danet_r101")
    parser.add_argument("--size", type=size, default=(1024, 2048), metavar="HxW")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--topology", default="v5e:2x2")
    parser.add_argument("--chunk-size", type=int, default=chunks.CHUNK_SIZE, metavar="N", help="0: no chunks")
    options = parser.parse_args()
    chunks.CHUNK_SIZE = options.chunk_size or chunks.LARGEST_CHUNK
    height, width = options.size
    memory = compiled_memory(options.variant, height, width, options.dtype, options.topology)
    print(f"{options.variant}, {height}x{width}, {options.dtype}, {options.topology}, chunks of {chunks.CHUNK_SIZE}")
    print(", ".join(f"{name} {size / MIB:.0f} MiB" for name, size in memory.items()))


if __name__ == "__main__":
    main()
