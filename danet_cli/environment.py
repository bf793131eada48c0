"""What a figure was measured on, and with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SHOWN = ("danet", "torch", "keras", "tensorflow-cpu", "tensorflow", "jax", "flax", "numpy")


def versions() -> dict[str, str]:
    """Of Python and of those of our packages that are installed."""
    found = {"Python": platform.python_version()}
    for name in SHOWN:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """How many cores of which kind."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {(models or [platform.processor() or platform.machine()])[0]}"
