"""The memory that one prediction takes on the CPU, measured in a process of its own.

`measure_memory` starts this file as a program for each measurement, so that none inherits what another one left: the
program makes the network, notes what the process holds, predicts one picture as `danet predict` does, and reports the
most that the process held during that pass less what it held before. So activations and what the framework compiles
and allocates for them count; weights do not. Linux only, which says how much that was.
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
    # glibc gives freed arrays back at once; by default it keeps some, as many as its history has it, in the peak.
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072",
}


def measure_memory(config: DANetConfig, backend: BackendName, height: int, width: int) -> int:
    """Bytes. Raises Unable where they cannot be measured."""
    if not STATUS.exists():
        raise CommandError("memory is measured on Linux only")
    job = {"config": config.to_dict(), "backend": backend, "height": height, "width": width}
    command = [sys.executable, "-m", "danet_cli.cost.memory", json.dumps(job)]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with child(command, env={**os.environ, **ENVIRONMENT}, **streams) as process:
        out, error = process.communicate()
    if process.returncode < 0:
        raise CommandError(
            f"the measuring process ended by signal {-process.returncode}: there may be too little memory"
        )
    if process.returncode:
        raise CommandError((error.strip().splitlines() or [f"exit code {process.returncode}"])[-1])
    return int(json.loads(out.splitlines()[-1])["bytes"])


def measure_here(job: dict[str, Any]) -> int:
    """Bytes of one pass in this process, which should not have done anything before."""
    import numpy as np

    from danet_common import Checkpoint, DANetConfig, initial_tensors

    config = DANetConfig.from_dict(job["config"])
    package = importlib.import_module(f"danet_{job['backend']}")
    model = package.from_checkpoint(Checkpoint(config, initial_tensors(config, 0)), layers="auto")
    shape = (1, job["height"], job["width"], config.in_channels)
    picture = np.random.default_rng(0).standard_normal(shape, np.float32)
    release()
    before = status("VmRSS")
    package.predict_logits(model, picture)
    return status("VmHWM") - before


def release() -> None:
    """Give the system back what making the network has left over, and let the peak begin here."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc keeps freed memory, which the pass would then take without being seen
        libc.malloc_trim(0)
    with suppress(OSError):  # where it is not allowed the peak may be that of making the network, if that is higher
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)


def status(field: str) -> int:
    """A size that the system keeps of this process, in bytes. `ru_maxrss` would begin with the parent's."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


if __name__ == "__main__":
    print_line(json.dumps({"bytes": measure_here(json.loads(sys.argv[1]))}))
