"""A conversion imports no framework that neither of its ends needs: only writing Orbax needs one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import weights_convert
from danet_common import VARIANTS, Checkpoint
from shared_tests.rule import rule_tensors

CONFIG = VARIANTS["danet_tiny"]
HEAVY = ("torch", "tensorflow", "keras", "jax", "flax", "orbax", "h5py", "msgpack")
READING: dict[str, set[str]] = {
    ".safetensors": set(),
    ".pth": set(),
    ".npz": set(),
    ".keras": {"h5py"},
    ".weights.h5": {"h5py"},
    ".orbax": set(),
}
WRITING = {**READING, ".orbax": {"jax", "orbax", "msgpack"}}
PROGRAM = (
    "import json, sys\n"
    "import weights_convert\n"
    "if len(sys.argv) > 1:\n"
    "    weights_convert.convert(sys.argv[1], sys.argv[2])\n"
    f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
)


def imported(*arguments: Path) -> set[str]:
    """Which of the heavy packages a process has imported after a conversion."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def test_the_package_imports_none() -> None:
    assert imported() == set()


@pytest.mark.parametrize("ending", READING)
def test_each_format_imports_its_own(ending: str, tmp_path: Path) -> None:
    for needed in WRITING[ending]:
        pytest.importorskip(needed)
    start, there, back = tmp_path / "start.safetensors", tmp_path / f"there{ending}", tmp_path / "back.safetensors"
    weights_convert.write(Checkpoint(CONFIG, rule_tensors(CONFIG)), start)
    assert imported(start, there) == WRITING[ending]
    assert imported(there, back) == READING[ending]
