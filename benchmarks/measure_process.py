"""Measure a candidate in a process of its own: `python benchmarks/measure_process.py '{"candidate": "torch", ...}'`.

Prints JSON: the seconds of each counted pass, of the first pass with compilation, and the largest memory. Linux only.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
GIB, MIB = 1 << 30, 1 << 20


def measure_in_process(job: dict[str, Any], python: str = sys.executable) -> dict[str, Any]:
    """Return what `measure` returns, from a new process of `python`."""
    return last_json([python, __file__, json.dumps(job)])


def last_json(command: list[str]) -> dict[str, Any]:
    """Return the JSON on the last line of a command's output, or `{"error": last line of stderr}` if it fails."""
    environment = {**os.environ, **ENVIRONMENT, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["killed, perhaps out of memory"])[-1]
        return {"error": last[:200]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Time the passes of one candidate in this process."""
    if job["candidate"] == "peak_flops":
        from peak_flops import measure_peak_flops

        return measure_peak_flops(job["dtype"], job["device"])
    if job["candidate"].partition(":")[0] in ("torch", "tf", "jax"):
        from danet_candidates import make_pass
    else:
        from third_party_candidates import make_pass
    started = time.perf_counter()
    run = make_pass(job)
    made = time.perf_counter()
    run()
    seconds, first = [], time.perf_counter() - made
    for _ in range(job["passes"]):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds, "made": made - started, "first": first, "bytes": peak_memory(job)}


def peak_memory(job: dict[str, Any]) -> int:
    """Return the largest memory so far in bytes: of the process, or of the GPU that computes."""
    if job["device"] == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if job["candidate"].startswith("jax"):
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    import torch

    return int(torch.cuda.max_memory_allocated())


def memory_now(job: dict[str, Any]) -> int:
    """Return the resident memory of the process in bytes. On a GPU: the largest so far."""
    if job["device"] == "cuda":
        return peak_memory(job)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(__doc__)
        raise SystemExit
    print(json.dumps(measure(json.loads(sys.argv[1]))))
