"""A conversion imports no framework. Only a Keras file that is written imports h5py, and none that is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors

CONFIG = VARIANTS["danet_tiny"]
HEAVY = ("torch", "tensorflow", "keras", "jax", "flax", "orbax", "h5py", "msgpack")
ENDINGS = (".safetensors", ".pth", ".npz", ".keras", ".weights.h5", ".orbax")
PROGRAM = (
    "import json, sys\n"
    "import weights_convert\n"
    "if len(sys.argv) > 1:\n"
    "    weights_convert.convert(sys.argv[1], sys.argv[2])\n"
    f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
)


def imported(*arguments: Path) -> set[str]:
    """Return the heavy packages that a process has imported after a conversion."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def test_the_package_imports_none() -> None:
    assert imported() == set()


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_format_imports_a_framework(ending: str, tmp_path: Path) -> None:
    if ending == ".orbax":
        pytest.importorskip("tensorstore")
    start, there, back = tmp_path / "start.safetensors", tmp_path / f"there{ending}", tmp_path / "back.safetensors"
    weights_convert.write(Checkpoint(CONFIG, synthetic_tensors(CONFIG)), start)
    assert imported(start, there) == ({"h5py"} if ending in (".keras", ".weights.h5") else set())
    assert imported(there, back) == set()
