"""Time and memory of a conversion of 500 MB, compared with a bare load and save in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "conversion.py"
MEMORY = 2  # times the tensors, for the whole process: one copy, the largest tensor again and the imports
TIME = 3  # times a bare load and save: every tensor is also checked and hashed


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(1800)
def test_memory_and_time_of_a_large_conversion() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tensorstore")
    done = subprocess.run([sys.executable, str(BENCHMARK), "--json"], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    rows = answer["rows"]
    assert answer["tensors"] > 500_000_000
    assert {name: row["bytes"] for name, row in rows.items() if row["bytes"] >= MEMORY * answer["tensors"]} == {}
    assert rows["model_best.pth.tar -> .safetensors"]["seconds"] < TIME * rows["bare load and save"]["seconds"]
