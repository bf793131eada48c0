"""Into live networks of all three frameworks, in memory: equal to the bit, copied unless sharing is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danet_common import Checkpoint, CheckpointError, parameters, write_checkpoint
from danet_common.checkpoint.float8 import FLOAT8
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.devices.running import CONFIG, float64_checkpoint, run_program
from shared_tests.workers.backends import BACKENDS
from weights_convert.casting import fit
from weights_convert.live.source import as_checkpoint, kernel_dtype

ROUNDING = 1e-12  # of float64, through the whole network; 2e-15 was seen
KINDS = {"kernel", "bias", "scale", "shift", "mean", "variance", "count", "gamma"}
NARROWED = {"kernel", "bias"}  # by a 16-bit dtype; the networks keep the rest in float32


@pytest.fixture(scope="module")
def actual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the program with all three frameworks in one process and return its report."""
    path = float64_checkpoint(tmp_path_factory.mktemp("live"))
    environment = {"KERAS_BACKEND": "tensorflow", "JAX_ENABLE_X64": "1"}
    return run_program("live", path, needs=("torch", "tensorflow", "jax", "flax"), environment=environment)


def test_every_source_into_every_framework(actual: dict[str, Any]) -> None:
    assert actual["unequal"] == []
    assert max(actual["differences"].values()) < ROUNDING, actual["differences"]


def test_folders_from_package_to_package(actual: dict[str, Any]) -> None:
    assert actual["unequal folders"] == []


def test_copies_by_default(actual: dict[str, Any]) -> None:
    for direction in ("torch", "jax"):
        assert actual["by default"][direction] == {"copied": sorted(KINDS), "shared": []}
    assert actual["changed with the source"] == []


def test_shared_on_request(actual: dict[str, Any]) -> None:
    for direction in ("torch", "jax"):  # the counters are 64 bits in torch and 32 in JAX
        assert actual["on request"][direction] == {"copied": ["count"], "shared": sorted(KINDS - {"count"})}
    assert not actual["trainable"]


def test_cast_by_kind(actual: dict[str, Any]) -> None:
    for kinds in actual["bfloat16"].values():
        expected = {kind: "bfloat16" if kind in NARROWED else "float32" for kind in KINDS} | {"count": "int64"}
        assert kinds == expected


def test_values_too_large_are_refused() -> None:
    with pytest.raises(CheckpointError, match="head: it has values too large for float16"):
        fit("head", np.array([1e5], np.float32), np.float16)
    assert fit("head", np.array([np.inf], np.float32), np.float16) == np.inf


def test_the_dtype_of_the_source(tmp_path: Path) -> None:
    tensors: dict[str, Any] = synthetic_tensors(CONFIG)
    kernels = [name for name, parameter in parameters(CONFIG).items() if parameter.kind == "kernel"]
    for name in kernels:
        tensors[name] = tensors[name].astype("bfloat16")
    write_checkpoint(Checkpoint(CONFIG, tensors), tmp_path / "low.safetensors")
    assert kernel_dtype(as_checkpoint(tmp_path / "low.safetensors")) == "bfloat16"
    tensors[kernels[0]] = tensors[kernels[0]].astype("float32")
    with pytest.raises(CheckpointError, match="several dtypes, bfloat16, float32"):
        kernel_dtype(Checkpoint(CONFIG, tensors))


def test_what_holds_no_network(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected a Checkpoint, a path or a network"):
        as_checkpoint(3)
    with pytest.raises(CheckpointError, match="no such file"):
        as_checkpoint(tmp_path / "missing.pth")
    incomplete = Checkpoint(CONFIG, {"backbone.conv1.weight": np.zeros((8, 3, 7, 7), np.float32)})
    with pytest.raises(CheckpointError, match="do not fit the network"):
        as_checkpoint(incomplete)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, of TensorFlow's arrays
@pytest.mark.parametrize("backend", ["torch", "tf", "jax"])
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_weights_of_8_bits_fill_a_network_of_float32(name: str, backend: str, tmp_path: Path) -> None:
    if BACKENDS[backend].missing:
        pytest.skip(f"{backend} is not installed")
    tensors: dict[str, Any] = synthetic_tensors(CONFIG)
    kernels = [kernel for kernel, parameter in parameters(CONFIG).items() if parameter.kind == "kernel"]
    for kernel in kernels:
        tensors[kernel] = tensors[kernel].astype(FLOAT8[name])
    path = tmp_path / "low.safetensors"
    write_checkpoint(Checkpoint(CONFIG, tensors), path)
    assert kernel_dtype(as_checkpoint(path)) == "float32"
    package = importlib.import_module(f"danet_{backend}")
    weights = importlib.import_module(f"danet_{backend}.parameters")
    filled = weights.get_tensors(package.load(path))
    for kernel in kernels:
        assert np.array_equal(filled[kernel], tensors[kernel].astype(np.float32)), kernel
