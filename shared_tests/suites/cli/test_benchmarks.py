"""The benchmarks' programs run, on a tiny network: that they measure is tested, not the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared_tests.workers.backends import BACKENDS

ROOT = Path(__file__).parents[3]
TINY = ("--variant", "danet_tiny", "--size", "33x47")

pytestmark = pytest.mark.slow  # each measurement starts a framework


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of benchmarks/ as it is shown."""
    if BACKENDS["torch"].missing:
        pytest.skip("the benchmarks count with PyTorch")
    command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280, check=False)


def test_network(tmp_path: Path) -> None:
    """A row for every case and candidate that trains; a table, JSON and a picture."""
    out = tmp_path / "found" / "tiny"
    names = ("--candidate", "torch,torch:cpu_inference,torch:memory_efficient,torch:remat", "--mode", "forward,train")
    done = run("network.py", *TINY, *names, "--passes", "1", "--rounds", "1", "--out", str(out))
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(out.with_suffix(".json").read_text())
    rows = [(row["mode"], row["candidate"]) for row in result["rows"]]
    prepared = [("forward", "torch:cpu_inference"), ("train", "torch:memory_efficient"), ("train", "torch:remat")]
    assert sorted(rows) == sorted([("forward", "torch"), ("train", "torch"), *prepared])
    for row in result["rows"]:
        assert row["seconds"] > 0
        assert row["bytes"] > 0
        assert 0 < row["peak_fraction"] < 2
    assert out.with_suffix(".md").read_text().strip() == done.stdout.strip()
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_unknown_candidates_are_refused() -> None:
    done = run("network.py", "--candidate", "torch,caffe")
    assert done.returncode == 2
    assert "unknown candidates caffe" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("program", ["network.py", "precision.py", "parity.py", "tpu.py"])
@pytest.mark.parametrize("size", ["33", "33x", "0x47", "33x47x3"])
def test_sizes_that_are_none_are_refused(program: str, size: str) -> None:
    if program == "tpu.py" and BACKENDS["jax"].missing:
        pytest.skip("it asks JAX for the TPU's compiler")
    done = run(program, "--size", size)
    assert done.returncode == 2
    assert "argument --size: invalid size" in done.stderr.splitlines()[-1]


def test_parity() -> None:
    done = run("parity.py", *TINY)
    assert done.returncode == 0, done.stderr[-2000:]
    _, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines())
    assert [name for name, *_ in rows][:2] == ["fused", "position"]
    assert all(float(figure) < 1e-10 for _, *figures in rows for figure in figures)


def test_precision() -> None:
    done = run("precision.py", *TINY)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]][:2] == ["float32", "float32, cpu_inference"]
    assert float(lines[2].split("|")[2]) < 1e-4 < float(lines[-1].split("|")[2])  # float32, and bfloat16


def test_gpu_without_one() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run("gpu.py")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("no GPU: ")


def test_startup() -> None:
    done = run("startup.py", "--rounds", "1", "--variant", "danet_tiny")
    assert done.returncode == 0, done.stderr[-2000:]
    seconds = dict(line.strip("| ").split(" | ") for line in done.stdout.splitlines()[4:])
    assert len(seconds) == 12
    assert 0 < float(seconds["an empty Python"]) < float(seconds["danet_torch.load"])
    assert float(seconds["a batch, 2 workers"]) > 0
