"""One measurement in a process of its own: `python benchmarks/measuring.py '{"candidate": "torch:folded", ...}'`.

Prints JSON: seconds of each pass after the first, of the first with what it compiles, and the most memory held. Linux.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Time the passes of one candidate."""
    if job["candidate"] == "roof":
        from roof import measure_roof

        return measure_roof(job["dtype"], job["device"])
    if job["candidate"].partition(":")[0] in ("torch", "tf", "jax"):
        from ours import make_pass
    else:
        from peers import make_pass
    started = time.perf_counter()
    run = make_pass(job)
    made = time.perf_counter()
    run()
    seconds, first = [], time.perf_counter() - made
    for _ in range(job["passes"]):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds, "made": made - started, "first": first, "bytes": most_memory(job)}


def most_memory(job: dict[str, Any]) -> int:
    """Of the process; of the GPU where it computes there."""
    if job["device"] == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if job["candidate"].startswith("jax"):
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    import torch

    return int(torch.cuda.max_memory_allocated())


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
