"""Predict pictures of many sizes and print the process's memory: `python -m ... BACKEND COUNT AFTER [VARIANT]`.

Prints one line of JSON: resident bytes after AFTER pictures and the largest after that.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np


def resident() -> int:
    """Resident memory of this process in bytes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def measure(backend: str, count: int, after: int, variant: str = "danet_tiny") -> dict[str, int]:
    """Resident bytes after the first `after` of `count` pictures, and the most after them; no size comes twice."""
    package = importlib.import_module(f"danet_{backend}")
    model = package.DANet(variant)
    if backend == "torch":
        model.eval()
    first = largest = 0
    for number in range(count):
        pixels = np.full((64 + 8 * (number % 12) + number // 12, 71 + 5 * (number % 17), 3), number % 255, np.uint8)
        package.predict(model, pixels)
        if number == after - 1:
            first = resident()
        if number >= after:
            largest = max(largest, resident())
    return {"first": first, "largest": largest}


if __name__ == "__main__":
    name, count, after, *variant = sys.argv[1:]
    print(json.dumps(measure(name, int(count), int(after), *variant)))
