"""`danet_tf` where Keras is on JAX or PyTorch: the same numbers, training and files; refused on any other backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import weights_convert
from danet_common.keras_backend import keras_backend, require_keras_backend
from shared_tests.fixtures.cases import CASES, TINY
from shared_tests.mutation.attention import CHUNKED
from shared_tests.parity.check_case import CheckpointOf, check_case
from shared_tests.parity.gradients import mismatch
from shared_tests.suites.conftest import Start
from shared_tests.suites.network.test_attention_memory import ENTRIES, WITHOUT_MAP, chunked
from shared_tests.suites.network.test_gradients import AGREEMENT, gradients
from shared_tests.suites.network.test_parity import assert_agrees

CONFIG = TINY.replace(dropout_rate=0.0)
KERAS_USE = "shared_tests.suites.network.keras_use"
ROUNDING = 1e-4  # of float32, through a step of training: of the largest value of each tensor
# Keras compiles a step for JAX for ten seconds.
OTHERS = ["keras_torch", pytest.param("keras_jax", marks=pytest.mark.slow)]


def pictures() -> dict[str, np.ndarray]:
    """Two small pictures, N,H,W,C, and their labels."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 33, 41, 3)).astype(np.float32)
    return {"x": x, "labels": generator.integers(0, CONFIG.num_classes, x.shape[:3])}


@pytest.mark.parametrize("name", ["tiny", "training"])
def test_pytorch_agrees_with_the_reference(name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    report = check_case(CASES[name], start("keras_torch"), checkpoint_of)
    assert report.agrees, (report.first_mismatch, report.cause)


@pytest.mark.parametrize("name", ["paddle", "training"])
@pytest.mark.parametrize(
    ("backend", "mode"),
    [
        ("keras_torch", "eager"),
        pytest.param("keras_jax", "eager", marks=pytest.mark.slow),
        pytest.param("keras_jax", "function", marks=pytest.mark.slow),
    ],
)
def test_mode(backend: str, mode: str, name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """Every way of running a network."""
    if name == "training" and backend == "keras_jax":
        pytest.skip("Keras on JAX is for inference")
    assert_agrees(CASES[name], start(backend), checkpoint_of, mode)


def test_chunked_attention_agrees(start: Start, checkpoint_of: CheckpointOf) -> None:
    """Keras on JAX computes position attention in chunks."""
    with chunked(start("keras_jax"), ENTRIES[9]) as worker:
        report = check_case(CHUNKED, worker, checkpoint_of, mode="function", taps=WITHOUT_MAP)
    assert report.agrees, (report.first_mismatch, report.cause)


@pytest.mark.parametrize("name", ["training_bottleneck", pytest.param("paddle", marks=pytest.mark.slow)])
def test_gradients_on_pytorch_agree(name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    expected, actual = (gradients(CASES[name], start(backend), checkpoint_of) for backend in ("torch", "keras_torch"))
    worst, where = mismatch(expected, actual)
    assert worst <= AGREEMENT, where


@pytest.mark.parametrize("backend", OTHERS)
def test_fit_and_files(backend: str, start: Start, tmp_path: Path) -> None:
    fields = {"config": CONFIG.to_dict(), "folder": str(tmp_path)}
    actual = start(backend).call_function("fitted", fields, {"input": pictures()}, KERAS_USE)
    files = {path.name: weights_convert.read(path).tensors for path in tmp_path.iterdir()}
    assert len(files) == 2
    for name, tensor in actual["fitted"].items():
        copies = [actual["archive"][name], actual["weights"][name], *(tensors[name] for tensors in files.values())]
        assert all(np.array_equal(tensor, copy) for copy in copies), name
    expected = start("tf").call_function("fitted", fields, {"input": pictures()}, KERAS_USE)["fitted"]
    for name, tensor in expected.items():
        assert np.abs(actual["fitted"][name] - tensor).max() <= ROUNDING * max(np.abs(tensor).max(), 1e-2), name


@pytest.mark.parametrize("backend", OTHERS)
def test_inputs_of_any_size(backend: str, start: Start) -> None:
    fields = {"config": CONFIG.to_dict()}
    actual = start(backend).call_function("symbolic", fields, {"input": pictures()}, KERAS_USE)
    assert {name: shape.tolist() for name, shape in actual["shapes"].items()} == {
        name: [-1, -1, -1, CONFIG.num_classes] for name in CONFIG.outputs
    }
    assert all(value.shape == (2, 33, 41, CONFIG.num_classes) for value in actual["values"].values())


def test_the_backend_that_keras_will_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "openvino"}')
    assert keras_backend() == "openvino"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert keras_backend() == "torch"
    require_keras_backend()
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    with pytest.raises(ImportError, match=r"'numpy'\. Set KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax or"):
        require_keras_backend()


def test_other_backends_are_refused_at_import() -> None:
    command = [sys.executable, "-c", "import danet_tf"]
    environment = {**os.environ, "KERAS_BACKEND": "openvino"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: danet_tf does not run on Keras's backend 'openvino'")
