"""Running a device program."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from danet_common import VARIANTS, Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors

CONFIG = VARIANTS["danet_tiny"]
KERAS_WARNING = "ignore:__array__ implementation:DeprecationWarning"  # of Keras 3.15's own variables in NumPy 2.4


def float64_checkpoint(folder: Path) -> Path:
    """A canonical file of the tiny network in float64."""
    tensors = synthetic_tensors(CONFIG)
    wide = {name: array.astype("float64") if array.dtype.kind == "f" else array for name, array in tensors.items()}
    write_checkpoint(Checkpoint(CONFIG, wide), folder / "float64.safetensors")
    return folder / "float64.safetensors"


def run_program(
    program: str, *arguments: object, needs: tuple[str, ...], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the output of `shared_tests.suites.devices.<program>`. A missing framework skips, and fails in CI."""
    missing = [package for package in needs if importlib.util.find_spec(package) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{program} needs {', '.join(missing)}, and CI must test every framework")
    if missing:
        pytest.skip(f"{program} needs {', '.join(missing)}")
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            KERAS_WARNING,
            "-m",
            f"shared_tests.suites.devices.{program}",
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    actual: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return actual
