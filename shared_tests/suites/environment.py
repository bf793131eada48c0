"""Environment variables of a test session; every process that a test starts inherits them.

`danet check` does not use this module: its backends run as their users have set them up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# LLVM's optimisations are most of the time that JAX spends on a small network. Tests judge numbers, not speed.
UNOPTIMISED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"

SETTINGS = {
    "XLA_FLAGS": UNOPTIMISED,
    # `make test` runs one process per core. With more threads than cores, idle threads burn CPU time as they wait.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


def cpu_devices(count: int) -> str:
    """XLA_FLAGS for a JAX process that sees `count` CPU devices."""
    return f"{UNOPTIMISED} --xla_force_host_platform_device_count={count}"


@contextmanager
def session_environment() -> Iterator[None]:
    """Set the variables that the caller's environment lacks; unset them at the end."""
    missing = {name: value for name, value in SETTINGS.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]
