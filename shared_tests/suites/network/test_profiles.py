"""The profiles of `danet check`: what each runs under, that it is read back, and that silence never passes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from danet_cli.main import run
from danet_common import DANetConfig, read_checkpoint
from shared_tests.fixtures.cases import TINY
from shared_tests.fixtures.synthetic import synthetic_input, synthetic_tensors
from shared_tests.parity.check import built_in_input, check_checkpoints, find_backends
from shared_tests.parity.profiles import PROFILES, ProfileName, reference_run, tolerances, unfit_flags
from shared_tests.parity.rounding_noise import RoundedNetwork
from shared_tests.reference.context import channel
from shared_tests.reference.network import Network
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.workers.backends import BackendError, Worker
from shared_tests.workers.protocol import Request

Streams = pytest.CaptureFixture[str]
PathOf = Callable[[DANetConfig], str]

SILENT = """
from shared_tests.workers.adapters import torch


def run(request):
    response = torch.run(request)
    response.flags = {}
    return response
"""

BLIND = """
from shared_tests.workers.adapters import torch


def run(request):
    response = torch.run(request)
    response.flags = {"device": "cpu", "precision": request.precision}
    return response
"""


@pytest.mark.parametrize("profile", ["strict", "fast"])
@pytest.mark.parametrize("backend", NETWORKS)
def test_flags_are_read_back(backend: str, profile: ProfileName, start: Start, checkpoint_of: PathOf) -> None:
    required = PROFILES[profile]
    request = Request(
        checkpoint=checkpoint_of(TINY),
        x=synthetic_input(TINY, 1, 17, 25),
        mode="jit" if backend == "jax" else "eager",
        device=required.device,
        precision=required.precision,
    )
    flags = start(backend).run(request).flags
    assert flags["precision"] == required.precision
    unfit = unfit_flags(required, flags)
    assert unfit is None if flags["device"] != "cpu" else "ran on the CPU" in str(unfit)
    assert unfit_flags(required, {**flags, "device": "gpu"}) is None


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"device": "gpu"},
        {"device": "gpu", "precision": "mixed"},
        {"precision": "fast"},
        {"device": "cpu", "precision": "highest"},
    ],
)
def test_unfit_flags_never_pass(flags: dict[str, str]) -> None:
    assert unfit_flags(PROFILES["strict"], flags) is not None
    assert unfit_flags(PROFILES["f32"], flags) is None


def test_silent_backend_is_refused(tmp_path: Path, checkpoint_of: PathOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right response from a backend that does not say how it computed is no PASS."""
    pytest.importorskip("torch")
    adapter = tmp_path / "silent.py"
    adapter.write_text(SILENT)
    checkpoint = read_checkpoint(checkpoint_of(TINY))
    backends = find_backends([str(adapter)])
    make_input = built_in_input(17, 25)
    with Worker(backends[0]) as worker:
        monkeypatch.setattr("shared_tests.parity.check.Worker", lambda backend: nullcontext(worker))  # one for both
        assert check_checkpoints({"tiny": checkpoint}, make_input, backends, "f32")[0].agrees
        with pytest.raises(BackendError, match="silent cannot pass this profile: it does not say which device"):
            check_checkpoints({"tiny": checkpoint}, make_input, backends, "strict")


def test_an_accelerator_that_is_not_seen_is_no_pass(tmp_path: Path, checkpoint_of: PathOf, capsys: Streams) -> None:
    """A request for a GPU that runs on a CPU ends with 2, whatever it computed."""
    pytest.importorskip("torch")
    adapter = tmp_path / "blind.py"
    adapter.write_text(BLIND)
    assert (
        run(["check", checkpoint_of(TINY), "--backends", str(adapter), "--size", "17x25", "--profile", "strict"]) == 2
    )
    assert_one_error(capsys, "blind", "it ran on the CPU")


def test_fast_allows_what_tf32_costs() -> None:
    """Rounding every kernel to TF32's 10 bits passes `fast`, at every tap, and fails `strict`."""
    tensors, x = synthetic_tensors(TINY), synthetic_input(TINY, 1, 33, 47)
    expected = reference_run(TINY, tensors, x)
    kernels = {name: tf32(array) if array.ndim == 4 else array for name, array in tensors.items()}
    rounded = reference_run(TINY, kernels, x)
    mismatch = {name: np.abs(rounded[name] - expected[name]).max() / np.abs(expected[name]).max() for name in expected}
    fast = tolerances(PROFILES["fast"], TINY, tensors, x, expected)
    strict = tolerances(PROFILES["strict"], TINY, tensors, x, expected)
    assert all(mismatch[name] <= fast[name] for name in expected)
    assert mismatch["fused"] > 10 * strict["fused"]


def tf32(array: np.ndarray) -> np.ndarray:
    """float32 rounded to 10 bits of mantissa."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


@pytest.mark.gpu
@pytest.mark.parametrize("profile", ["strict", "fast"])
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_on_a_gpu(backend: str, profile: ProfileName, checkpoint_of: PathOf) -> None:
    """danet_tiny on a real GPU, within the profile's bounds."""
    if not has_gpu(backend):
        pytest.skip(f"{backend} sees no GPU")
    checkpoint = read_checkpoint(checkpoint_of(TINY))
    (result,) = check_checkpoints({"tiny": checkpoint}, built_in_input(65, 97), find_backends([backend]), profile)
    assert result.runs[backend].flags["device"] == "gpu"
    assert result.agrees, result.runs[backend].report.cause


def has_gpu(backend: str) -> bool:
    """True if the framework sees a GPU."""
    if backend == "torch":
        return pytest.importorskip("torch").cuda.is_available()
    jax = pytest.importorskip("jax")
    return jax.default_backend() == "gpu"


def test_a_difference_of_energies_is_rounded_too() -> None:
    """Two faint channels share what a loud one attends to. Their energies with it, 0 and 0.003, are small enough to be
    exact, but what they leave of its own, 90,000, is not: it must be allowed what float32 makes of it."""
    x = np.array([300.0, 0.0, 1e-5]).reshape(1, 3, 1, 1)
    maps = []
    for kind in (Network, RoundedNetwork):
        network = kind(TINY, {"attention.gamma": np.zeros(1)}, training=False)
        channel(network, "attention", x)
        maps.append(network.result.taps["channel_map"][0])
    exact, rounded = maps
    features = x.reshape(3, 1).astype(np.float32)
    energy = features @ features.T
    powers = np.exp((energy.max(1, keepdims=True) - energy) - energy.max(1, keepdims=True)).astype(np.float64)
    assert abs(exact[0, 2] - 0.5) > 5e-4
    assert np.abs(rounded[0] - powers[0] / powers[0].sum()).max() < 1e-7
