"""Summaries, files and exported programs that Keras makes of a network, on each of its backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danet_common import VARIANTS
from shared_tests.suites.conftest import Start
from shared_tests.suites.devices.running import KERAS_WARNING

pytestmark = pytest.mark.filterwarnings(KERAS_WARNING)
KERAS_USE = "shared_tests.suites.network.keras_use"
CONFIG = VARIANTS["danet_tiny"].replace(auxiliary="fcn")
BACKENDS = ["tf", "keras_jax", "keras_torch"]
ROUNDING = 1e-5  # of float32, through two compilers; 1e-6 was measured


def pictures(height: int = 33, width: int = 41) -> np.ndarray:
    """Two small pictures, N,H,W,C."""
    return np.random.default_rng(0).standard_normal((2, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_summary_has_shapes_and_counts(backend: str, start: Start) -> None:
    actual = start(backend).call_function("summary", {"config": CONFIG.to_dict()}, {}, KERAS_USE)["summary"]
    text = str(actual["text"])
    assert "?" not in text
    assert "unbuilt" not in text
    assert "(None, None, None, 19)" in " ".join(text.replace("│", " ").split())
    assert int(actual["parameters"]) > 0
    assert f"Total params: {int(actual['parameters']):,}" in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_hdf5_file_of_a_network_and_of_a_model_around_it(backend: str, start: Start, tmp_path: Path) -> None:
    fields = {"config": CONFIG.to_dict(), "folder": str(tmp_path)}
    values = start(backend).call_function("hdf5", fields, {"input": {"x": pictures()}}, KERAS_USE)
    for name in ("network", "functional"):
        assert np.array_equal(values[name]["before"], values[name]["after"]), name


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tf", "keras_jax"])  # on PyTorch Keras needs torch_xla
def test_saved_model_takes_pictures_of_any_size(backend: str, start: Start, tmp_path: Path) -> None:
    assert_exported("tf_saved_model", backend, start, tmp_path / "exported")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")  # its package is not installed
def test_litert_program_has_no_select_tf_operators(start: Start, tmp_path: Path) -> None:
    assert_exported("litert", "tf", start, tmp_path / "exported.tflite")


def assert_exported(kind: str, backend: str, start: Start, path: Path) -> None:
    """A program that Keras exports before the first call computes the network's numbers at two sizes."""
    tf = pytest.importorskip("tensorflow")
    arrays: Any = {"input": {"first": pictures(), "second": pictures(49, 57)[:1]}}
    fields = {"config": CONFIG.to_dict(), "path": str(path), "kind": kind}
    expected = start(backend).call_function("exported", fields, arrays, KERAS_USE)["fused"]
    for name, x in arrays["input"].items():
        if kind == "litert":
            interpreter = tf.lite.Interpreter(str(path))
            interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x.shape)
            runner = interpreter.get_signature_runner()
            (argument,) = runner.get_input_details()
            actual = runner(**{argument: x})["fused"]
        else:
            program = tf.saved_model.load(str(path))  # its variables live as long as it does
            actual = program.serve(x)["fused"].numpy()
        assert np.abs(actual - expected[name]).max() <= ROUNDING * np.abs(expected[name]).max(), name
