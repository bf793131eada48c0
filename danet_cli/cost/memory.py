"""Measure the CPU memory of one prediction, in a process of its own, on Linux.

`measure_memory` runs this file as a program. The program makes the network, predicts one image as `danet predict`
does, and reports its peak memory in that pass less its memory before. Activations and what the framework compiles
and allocates for them count; weights do not.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danet_cli.console import CommandError, print_line
from danet_common.child_processes import child

if TYPE_CHECKING:
    from danet_cli.backend import BackendName
    from danet_common import DANetConfig

STATUS = Path("/proc/self/status")
RESET_PEAK = "5"  # written to /proc/self/clear_refs: proc(5)
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONWARNINGS": "ignore",
    # glibc returns freed arrays to the system at once; by default the peak depends on the process's history.
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072",
}


def measure_memory(config: DANetConfig, backend: BackendName, height: int, width: int) -> int:
    """Return the peak in bytes. Raises CommandError where it cannot be measured."""
    if not STATUS.exists():
        raise CommandError("memory is measured on Linux only")
    request = {"config": config.to_dict(), "backend": backend, "height": height, "width": width}
    command = [sys.executable, "-m", "danet_cli.cost.memory", json.dumps(request)]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with child(command, env={**os.environ, **ENVIRONMENT}, **streams) as process:
        out, error = process.communicate()
    if process.returncode < 0:
        raise CommandError(f"signal {-process.returncode} ended the measuring process, which may be out of memory")
    if process.returncode:
        raise CommandError((error.strip().splitlines() or [f"exit code {process.returncode}"])[-1])
    return int(json.loads(out.splitlines()[-1])["bytes"])


def measure_here(request: dict[str, Any]) -> int:
    """Return the peak of one pass in this process, in bytes; the process must have done nothing before."""
    import numpy as np

    from danet_common import Checkpoint, DANetConfig, initial_tensors

    config = DANetConfig.from_dict(request["config"])
    package = importlib.import_module(f"danet_{request['backend']}")
    model = package.from_checkpoint(Checkpoint(config, initial_tensors(config, 0)), layers="auto")
    shape = (1, request["height"], request["width"], config.in_channels)
    image = np.random.default_rng(0).standard_normal(shape, np.float32)
    release()
    before = status("VmRSS")
    package.predict_logits(model, image)
    return status("VmHWM") - before


def release() -> None:
    """Return freed memory to the system, and reset the peak."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # the pass would reuse memory that glibc keeps, without being measured
        libc.malloc_trim(0)
    with suppress(OSError):  # where it is not allowed, the peak includes that of making the network
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)


def status(field: str) -> int:
    """Return a size from this process's status, in bytes. `ru_maxrss` would include the parent's."""
    match = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) << 10


if __name__ == "__main__":
    print_line(json.dumps({"bytes": measure_here(json.loads(sys.argv[1]))}))
