"""Measure position attention alone: `python benchmarks/attention.py --positions 50176 --backend torch`.

512 value channels, 64 channels of query and key, batch 1, as in the published networks. Each measurement runs in a
process of its own. It prints the median of the counted passes, and the peak memory above that of the inputs, with
compilation: of the process, or on a GPU of the framework. Each round measures every combination once, so that a slow
moment of the machine affects all. Linux only.

Backends: torch, tf and jax, as the packages compute; torch:chunks, without PyTorch's own kernel, which torch uses on a
GPU; torch:sdpa, with that kernel. --device cuda is for torch and jax.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from danet_candidates import set_precision, storage_dtype
from measure_process import MIB, last_json, memory_now, peak_memory
from option_types import numbers, words

from danet_common.numerics import chunks
from danet_common.numerics.precision import accumulate_dtype

CHANNELS, QUERY_CHANNELS = 512, 64

Pass = Callable[[], Any]


def inputs(positions: int) -> list[np.ndarray]:
    """Return query, key and value as (1, N, channels). The energies have a standard deviation of 2."""
    generator = np.random.default_rng(0)
    channels = (QUERY_CHANNELS, QUERY_CHANNELS, CHANNELS)
    query, key, value = (generator.standard_normal((1, positions, count), np.float32) for count in channels)
    query *= 0.25
    return [query, key, value]


def torch_pass(job: dict[str, Any], arrays: list[np.ndarray]) -> Pass:
    """Return a pass of `danet_torch`, or of PyTorch's kernel, which it uses on a GPU."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from danet_torch.accelerated.attention import MemoryEfficientAttention, sdpa_attention
    from danet_torch.attention import softmax_attention

    attention, chunks.CHUNK_SIZE = MemoryEfficientAttention(softmax_attention), job["chunk_size"]
    kernel, backward = job["candidate"].partition(":")[2], job["backward"]
    accumulate, dtype = (getattr(torch, name) for name in dtypes(job))
    tensors = [torch.from_numpy(array).to(job["device"], dtype).requires_grad_(backward) for array in arrays]

    def forward() -> torch.Tensor:
        query, key, value = (
            tensor.to(kind) for tensor, kind in zip(tensors, (accumulate, accumulate, dtype), strict=True)
        )
        if kernel == "sdpa":
            return sdpa_attention(query, key, value)
        with sdpa_kernel(SDPBackend.MATH) if kernel == "chunks" else contextlib.nullcontext():
            return attention(query, key, value)

    def run() -> Any:
        with torch.set_grad_enabled(backward):
            out: Any = forward()
            out = torch.autograd.grad(out.sum(), tensors) if backward else out
        if job["device"] == "cuda":
            torch.cuda.synchronize()
        return out

    return run


def tf_pass(job: dict[str, Any], arrays: list[np.ndarray]) -> Pass:
    """Return a pass of `danet_tf` as a graph for any size."""
    import tensorflow as tf

    from danet_tf.accelerated.attention import MemoryEfficientAttention
    from danet_tf.attention import softmax_attention

    attention, chunks.CHUNK_SIZE = MemoryEfficientAttention(softmax_attention), job["chunk_size"]
    accumulate, dtype = dtypes(job)

    @tf.function(input_signature=[tf.TensorSpec((None, None, array.shape[2]), dtype) for array in arrays])
    def call(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> Any:
        if not job["backward"]:
            return attention(tf.cast(query, accumulate), tf.cast(key, accumulate), value)
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            total = tf.reduce_sum(attention(tf.cast(query, accumulate), tf.cast(key, accumulate), value))
        return tape.gradient(total, (query, key, value))

    tensors = [tf.cast(array, dtype) for array in arrays]
    return lambda: call(*tensors)


def jax_pass(job: dict[str, Any], arrays: list[np.ndarray]) -> Pass:
    """Return a compiled pass of `danet_jax`."""
    import jax

    from danet_jax.accelerated.attention import MemoryEfficientAttention
    from danet_jax.attention import softmax_attention

    forward, chunks.CHUNK_SIZE = MemoryEfficientAttention(softmax_attention), job["chunk_size"]
    _, dtype = dtypes(job)

    call = jax.jit(jax.grad(lambda *tensors: forward(*tensors).sum(), (0, 1, 2)) if job["backward"] else forward)
    (device, *_) = jax.devices(job["device"])
    tensors = [jax.device_put(array.astype(dtype), device) for array in arrays]
    return lambda: jax.block_until_ready(call(*tensors))


PASSES = {"torch": torch_pass, "tf": tf_pass, "jax": jax_pass}


def dtypes(job: dict[str, Any]) -> tuple[str, str]:
    """Return the dtypes of queries and keys, and of values."""
    dtype = storage_dtype(job["dtype"])
    return accumulate_dtype(dtype), dtype


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Measure a job in this process."""
    backend = job["candidate"].partition(":")[0]
    set_precision(backend, job["dtype"])
    run = PASSES[backend](job, inputs(job["positions"]))
    inputs_memory = memory_now(job)
    seconds = []
    for _ in range(1 + job["passes"]):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return {"seconds": statistics.median(seconds[1:] or seconds), "bytes": peak_memory(job) - inputs_memory}


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Measure a job in a process of its own."""
    return last_json([sys.executable, __file__, "--work", json.dumps(job)])


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every combination once in each round. Returns rows of median seconds and largest memory."""
    common = {name: getattr(options, name) for name in ("device", "backward", "passes")}
    cases = [
        {"positions": n, "dtype": dtype, "candidate": name, "chunk_size": size or n * n, **common}
        for n, dtype, name, size in itertools.product(
            options.positions, options.dtype, options.backend, options.chunk_size
        )
    ]
    rounds = [[measure(job) for job in cases] for _ in range(options.rounds)]
    rows = []
    for job, answers in zip(cases, zip(*rounds, strict=True), strict=True):
        errors = [answer["error"] for answer in answers if "error" in answer]
        if errors:
            rows.append({**job, "error": errors[0]})
            continue
        seconds, memory = ([answer[key] for answer in answers] for key in ("seconds", "bytes"))
        measured = {"seconds": statistics.median(seconds), "spread": max(seconds) - min(seconds), "bytes": max(memory)}
        rows.append({**job, **measured})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=numbers, default=[4096, 9216], metavar="N,...")
    parser.add_argument("--backend", type=words, default=list(PASSES), metavar="NAME,...")
    parser.add_argument(
        "--chunk-size",
        type=numbers,
        default=[chunks.CHUNK_SIZE],
        metavar="ENTRIES,...",
        help="of the attention map; 0: all",
    )
    parser.add_argument("--dtype", type=words, default=["float32"], metavar="float32,bfloat16,tf32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--backward", action="store_true", help="also compute the gradients of query, key and value")
    parser.add_argument("--passes", type=int, default=3, help="counted, in each process")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", help="used by this program itself")
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(json.loads(options.work))))
        return
    unknown = [name for name in options.backend if name.partition(":")[0] not in PASSES]
    if unknown:
        parser.error(f"unknown backends {', '.join(unknown)}; known: {', '.join(PASSES)}, and more, see --help")
    if options.device == "cuda" and any(name.startswith("tf") for name in options.backend):
        parser.error("tf runs on the CPU only: use --backend torch,jax")
    rows = run(options)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'forward and backward' if options.backward else 'forward'}, {options.device}")
    print("positions dtype    backend         chunk    seconds  (spread)      MiB")
    for row in rows:
        size = f"{row['chunk_size'] / MIB:g}M" if row["chunk_size"] < row["positions"] ** 2 else "whole"
        start = f"{row['positions']:9} {row['dtype']:8} {row['candidate']:12} {size:>8}"
        if "error" in row:
            print(f"{start} {row['error']}")
        else:
            print(f"{start} {row['seconds']:10.4f} {row['spread']:9.4f} {row['bytes'] / MIB:8.0f}")


if __name__ == "__main__":
    main()
