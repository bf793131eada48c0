"""Time and memory of position attention alone: `python benchmarks/attention.py --positions 50176 --backend torch`.

512 channels, 64 of them for query and key, float32, batch 1, as in the published networks. Each measurement runs in a
process of its own: the median of a few passes after a first one, and the most memory that the process ever held above
what it held when the inputs were there, compiling included. Several sizes, backends and slice sizes are measured in
turn, round by round, so that they share the machine's moods. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from danet_common import slices

CHANNELS, QUERY_CHANNELS = 512, 64
MIB = 1 << 20
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}


def inputs(positions: int) -> list[np.ndarray]:
    """Query, key and value as (1, N, channels); energies of a standard deviation of 2."""
    generator = np.random.default_rng(0)
    channels = (QUERY_CHANNELS, QUERY_CHANNELS, CHANNELS)
    query, key, value = (generator.standard_normal((1, positions, count), np.float32) for count in channels)
    query *= 0.25
    return [query, key, value]


def torch_pass(arrays: list[np.ndarray], slice_size: int, backward: bool) -> Callable[[], Any]:
    """One pass of `danet_torch`."""
    import torch

    from danet_torch.attention import attend

    tensors = [torch.from_numpy(array).requires_grad_(backward) for array in arrays]

    def run() -> Any:
        with torch.set_grad_enabled(backward):
            out = attend(*tensors, slice_size)
            return torch.autograd.grad(out.sum(), tensors) if backward else out

    return run


def tf_pass(arrays: list[np.ndarray], slice_size: int, backward: bool) -> Callable[[], Any]:
    """One pass of `danet_tf` as a graph for any size."""
    import tensorflow as tf

    from danet_tf.attention import attend

    @tf.function(input_signature=[tf.TensorSpec((None, None, array.shape[2])) for array in arrays])
    def call(*tensors: tf.Tensor) -> Any:
        if not backward:
            return attend(*tensors, slice_size)
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = tf.reduce_sum(attend(*tensors, slice_size))
        return tape.gradient(total, tensors)

    tensors = [tf.constant(array) for array in arrays]
    return lambda: call(*tensors)


def jax_pass(arrays: list[np.ndarray], slice_size: int, backward: bool) -> Callable[[], Any]:
    """One pass of `danet_jax`, compiled."""
    import jax

    from danet_jax.attention import attend

    def forward(*tensors: jax.Array) -> jax.Array:
        return attend(*tensors, slice_size)

    call = jax.jit(jax.grad(lambda *tensors: forward(*tensors).sum(), (0, 1, 2)) if backward else forward)
    tensors = [jax.numpy.asarray(array) for array in arrays]
    return lambda: jax.block_until_ready(call(*tensors))


PASSES = {"torch": torch_pass, "tf": tf_pass, "jax": jax_pass}


def work(backend: str, positions: int, slice_size: int, backward: bool, passes: int) -> dict[str, Any]:
    """Measure in this process."""
    run = PASSES[backend](inputs(positions), slice_size, backward)
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    seconds = []
    for _ in range(1 + passes):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return {"seconds": statistics.median(seconds[1:] or seconds), "bytes": most - held}


def measure(*arguments: Any) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--work", json.dumps(arguments)]
    environment = {**ENVIRONMENT, **os.environ}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run(
    backends: list[str], positions: list[int], sizes: list[int], backward: bool, passes: int, rounds: int
) -> list[dict[str, Any]]:
    """Every combination, once in each round: the median of the seconds, and the largest memory."""
    cases = list(itertools.product(positions, backends, sizes))
    found = [[measure(name, n, size or n * n, backward, passes) for n, name, size in cases] for _ in range(rounds)]
    rows = []
    for (n, backend, size), answers in zip(cases, zip(*found, strict=True), strict=True):
        seconds, held = ([answer[key] for answer in answers] for key in ("seconds", "bytes"))
        measured = {"seconds": statistics.median(seconds), "spread": max(seconds) - min(seconds), "bytes": max(held)}
        rows.append({"positions": n, "backend": backend, "slice_size": size, "backward": backward, **measured})
    return rows


def main() -> None:
    def numbers(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--positions", type=numbers, default=[4096, 9216], metavar="N,...")
    parser.add_argument("--backend", type=lambda text: text.split(","), default=list(PASSES), metavar="NAME,...")
    parser.add_argument("--slice-size", type=numbers, default=[slices.SLICE_SIZE], metavar="ENTRIES,...; 0: whole")
    parser.add_argument("--backward", action="store_true", help="and the gradients of query, key and value")
    parser.add_argument("--passes", type=int, default=3, help="measured in each process, after one that is not")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", help="used by this program itself")
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(*json.loads(options.work))))
        return
    rows = run(options.backend, options.positions, options.slice_size, options.backward, options.passes, options.rounds)
    if options.json:
        print(json.dumps(rows))
        return
    print("forward and backward" if options.backward else "forward")
    print("positions backend    slice   seconds  (spread)      MiB")
    for row in rows:
        size = f"{row['slice_size'] / MIB:g}M" if row["slice_size"] else "whole"
        times = f"{row['seconds']:9.3f} {row['spread']:9.3f}"
        print(f"{row['positions']:9} {row['backend']:7} {size:>8} {times} {row['bytes'] / MIB:8.0f}")


if __name__ == "__main__":
    main()
