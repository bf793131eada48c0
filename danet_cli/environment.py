"""The processor and the package versions behind a measurement."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("danet", "torch", "keras", "tensorflow-cpu", "tensorflow", "jax", "flax", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that compute."""
    installed = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def processor() -> str:
    """Return the number of cores and the processor's model."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {(models or [platform.processor() or platform.machine()])[0]}"
