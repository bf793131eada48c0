"""Time and memory of position attention alone: `python benchmarks/attention.py --positions 50176 --backend torch`.

512 channels, 64 of them for query and key, batch 1, as in the published networks. Each measurement runs in a process of
its own: the median of a few passes after a first one, and the most memory that was ever held above what was held when
the inputs were there, compiling included: by the process, or on a GPU by the framework. Several sizes, backends and
slice sizes are measured in turn, round by round, so that they share the machine's moods. Linux only.

Backends: torch, tf and jax, as the packages compute; torch:slices, where PyTorch's own kernel, which torch uses on a
GPU, is forbidden; and that kernel, of so many value channels at a time: torch:64, and on a GPU torch:128, torch:256 and
torch:512. --device cuda is for torch and jax.
"""

from __future__ import annotations

import argparse
import contextlib
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
from measuring import most_memory
from ours import held_dtype, set_precision

from danet_common.numerics import chunks
from danet_common.numerics.precision import accumulate_dtype

CHANNELS, QUERY_CHANNELS = 512, 64
MIB = 1 << 20
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}

Pass = Callable[[], Any]


def inputs(positions: int) -> list[np.ndarray]:
    """Query, key and value as (1, N, channels); energies of a standard deviation of 2."""
    generator = np.random.default_rng(0)
    channels = (QUERY_CHANNELS, QUERY_CHANNELS, CHANNELS)
    query, key, value = (generator.standard_normal((1, positions, count), np.float32) for count in channels)
    query *= 0.25
    return [query, key, value]


def torch_pass(job: dict[str, Any], arrays: list[np.ndarray]) -> Pass:
    """One pass of `danet_torch`, or of the kernel that it uses on a GPU."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from danet_torch.accelerated.attention import MemoryEfficientAttention, sdpa_attention
    from danet_torch.attention import softmax_attention

    attend, chunks.CHUNK_SIZE = MemoryEfficientAttention(softmax_attention), job["slice_size"]
    way, backward = job["candidate"].partition(":")[2], job["backward"]
    wide, dtype = (getattr(torch, name) for name in dtypes(job))
    tensors = [torch.from_numpy(array).to(job["device"], dtype).requires_grad_(backward) for array in arrays]

    def forward() -> torch.Tensor:
        query, key, value = (tensor.to(kind) for tensor, kind in zip(tensors, (wide, wide, dtype), strict=True))
        if way == "sdpa":
            return sdpa_attention(query, key, value)
        with sdpa_kernel(SDPBackend.MATH) if way == "slices" else contextlib.nullcontext():
            return attend(query, key, value)

    def run() -> Any:
        with torch.set_grad_enabled(backward):
            out = forward()
            out = torch.autograd.grad(out.sum(), tensors) if backward else out
        if job["device"] == "cuda":
            torch.cuda.synchronize()
        return out

    return run


def tf_pass(job: dict[str, Any], arrays: list[np.ndarray]) -> Pass:
    """One pass of `danet_tf` as a graph for any size."""
    import tensorflow as tf

    from danet_tf.accelerated.attention import MemoryEfficientAttention
    from danet_tf.attention import softmax_attention

    attend, chunks.CHUNK_SIZE = MemoryEfficientAttention(softmax_attention), job["slice_size"]
    wide, dtype = dtypes(job)

    @tf.function(input_signature=[tf.TensorSpec((None, None, array.shape[2]), dtype) for array in arrays])
    def call(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> Any:
        if not job["backward"]:
            return attend(tf.cast(query, wide), tf.cast(key, wide), value)
        with tf.GradientTape() as tape:
            tape.watch((query, key, value))
            total = tf.reduce_sum(attend(tf.cast(query, wide), tf.cast(key, wide), value))
        return tape.gradient(total, (query, key, value))

    tensors = [tf.cast(array, dtype) for array in arrays]
    return lambda: call(*tensors)


def jax_pass(job: dict[str, Any], arrays: list[np.ndarray]) -> Pass:
    """One pass of `danet_jax`, compiled."""
    import jax

    from danet_jax.accelerated.attention import MemoryEfficientAttention
    from danet_jax.attention import softmax_attention

    forward, chunks.CHUNK_SIZE = MemoryEfficientAttention(softmax_attention), job["slice_size"]
    _, dtype = dtypes(job)

    call = jax.jit(jax.grad(lambda *tensors: forward(*tensors).sum(), (0, 1, 2)) if job["backward"] else forward)
    (device, *_) = jax.devices(job["device"])
    tensors = [jax.device_put(array.astype(dtype), device) for array in arrays]
    return lambda: jax.block_until_ready(call(*tensors))


PASSES = {"torch": torch_pass, "tf": tf_pass, "jax": jax_pass}


def dtypes(job: dict[str, Any]) -> tuple[str, str]:
    """Of queries and keys, and of values."""
    dtype = held_dtype(job["dtype"])
    return accumulate_dtype(dtype), dtype


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Measure in this process."""
    backend = job["candidate"].partition(":")[0]
    set_precision(backend, job["dtype"])
    run = PASSES[backend](job, inputs(job["positions"]))
    held = memory(job)
    seconds = []
    for _ in range(1 + job["passes"]):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return {"seconds": statistics.median(seconds[1:] or seconds), "bytes": most_memory(job) - held}


def memory(job: dict[str, Any]) -> int:
    """What is held now, in bytes: on a GPU the most so far, when nothing but the inputs was made."""
    if job["device"] == "cuda":
        return most_memory(job)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """The same in a process of its own."""
    environment = {**ENVIRONMENT, **os.environ}
    command = [sys.executable, __file__, "--work", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["killed"])[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every combination, once in each round: the median of the seconds, and the largest memory."""
    common = {name: getattr(options, name) for name in ("device", "backward", "passes")}
    cases = [
        {"positions": n, "dtype": dtype, "candidate": name, "slice_size": size or n * n, **common}
        for n, dtype, name, size in itertools.product(
            options.positions, options.dtype, options.backend, options.slice_size
        )
    ]
    found = [[measure(job) for job in cases] for _ in range(options.rounds)]
    rows = []
    for job, answers in zip(cases, zip(*found, strict=True), strict=True):
        errors = [answer["error"] for answer in answers if "error" in answer]
        if errors:
            rows.append({**job, "error": errors[0]})
            continue
        seconds, held = ([answer[key] for answer in answers] for key in ("seconds", "bytes"))
        measured = {"seconds": statistics.median(seconds), "spread": max(seconds) - min(seconds), "bytes": max(held)}
        rows.append({**job, **measured})
    return rows


def main() -> None:
    def words(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return [int(word) for word in words(text)]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--positions", type=numbers, default=[4096, 9216], metavar="N,...")
    parser.add_argument("--backend", type=words, default=list(PASSES), metavar="NAME,...")
    parser.add_argument("--slice-size", type=numbers, default=[chunks.CHUNK_SIZE], metavar="ENTRIES,...; 0: whole")
    parser.add_argument("--dtype", type=words, default=["float32"], metavar="float32,bfloat16,tf32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--backward", action="store_true", help="and the gradients of query, key and value")
    parser.add_argument("--passes", type=int, default=3, help="measured in each process, after one that is not")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", help="used by this program itself")
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(json.loads(options.work))))
        return
    unknown = [name for name in options.backend if name.partition(":")[0] not in PASSES]
    if unknown:
        parser.error(f"unknown backends {', '.join(unknown)}; known: {', '.join(PASSES)}, and more, see above")
    if options.device == "cuda" and any(name.startswith("tf") for name in options.backend):
        parser.error("tf is measured on the CPU: --backend torch,jax")
    rows = run(options)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'forward and backward' if options.backward else 'forward'}, {options.device}")
    print("positions dtype    backend         slice    seconds  (spread)      MiB")
    for row in rows:
        size = f"{row['slice_size'] / MIB:g}M" if row["slice_size"] < row["positions"] ** 2 else "whole"
        start = f"{row['positions']:9} {row['dtype']:8} {row['candidate']:12} {size:>8}"
        if "error" in row:
            print(f"{start} {row['error']}")
        else:
            print(f"{start} {row['seconds']:10.4f} {row['spread']:9.4f} {row['bytes'] / MIB:8.0f}")


if __name__ == "__main__":
    main()
