"""float64: every tap, output and updated statistic within 1e-10 of the reference, for every knob, in every mode."""

from __future__ import annotations

import pytest

from shared_tests.fixtures.cases import CASES, TINY, Case
from shared_tests.fixtures.synthetic import synthetic_input
from shared_tests.parity.check_case import CheckpointOf, check_case
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.workers.backends import BACKENDS, BackendError, Worker
from shared_tests.workers.protocol import Request

FASTEST = {"torch": "eager", "tf": "eager", "jax": "jit"}
DEEP = ("r34", "r101", "r152")  # deeper and shallower sisters of r18 and r50


def assert_agrees(case: Case, worker: Worker, checkpoint_of: CheckpointOf, mode: str) -> None:
    report = check_case(case, worker, checkpoint_of, mode=mode)
    assert report.agrees, (report.first_mismatch, report.cause)


# The quick tests check these cases in all networks, and every other case in one network by turns. The slow tests check
# the rest: the sources of the networks are parallel, and JAX compiles each case for seconds.
EVERYWHERE = ("tiny", "dranet", "paddle", "training")
JUDGED = [
    pytest.param(
        backend, name, marks=[pytest.mark.slow] * (name not in EVERYWHERE and (name in DEEP or (n + turn) % 3 > 0))
    )
    for n, name in enumerate(CASES)
    for turn, backend in enumerate(NETWORKS)  # varies fastest, so that each case is computed by the reference once
]


@pytest.mark.parametrize(("backend", "name"), JUDGED)
def test_case(backend: str, name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    assert_agrees(CASES[name], start(backend), checkpoint_of, FASTEST[backend])


MODES = [
    # Inductor compiles for half a minute, and JAX each operation by itself.
    pytest.param(name, mode, marks=[pytest.mark.slow] * (mode == "compile" or name == "jax"))
    for name in NETWORKS
    for mode in BACKENDS[name].modes
    if FASTEST[name] != mode
]


@pytest.mark.parametrize("name", ["paddle", "training"])
@pytest.mark.parametrize(("backend", "mode"), MODES)
def test_mode(backend: str, mode: str, name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """Every way of running a network: compiled, traced for any size, under XLA."""
    if name == "training" and mode == "compile":
        pytest.skip("compiled once, in inference: the training graph takes a minute")
    assert_agrees(CASES[name], start(backend), checkpoint_of, mode)


def test_one_value_per_channel(worker: Worker, checkpoint_of: CheckpointOf) -> None:
    """BatchNorm has no variance of a single value: an error, not a NaN."""
    config = TINY.replace(output_stride=32, dropout_rate=0.0)
    request = Request(checkpoint=checkpoint_of(config), x=synthetic_input(config, 1, 5, 7), training=True)
    with pytest.raises(BackendError, match=r"more than (1|one) value per channel"):
        worker.run(request)


def test_unknown_stage(worker: Worker, checkpoint_of: CheckpointOf) -> None:
    request = Request(checkpoint=checkpoint_of(TINY), x=synthetic_input(TINY, 1, 9, 9), taps=("layer5",))
    with pytest.raises(BackendError, match=r"unknown taps layer5; this network has stem, layer1"):
        worker.run(request)
