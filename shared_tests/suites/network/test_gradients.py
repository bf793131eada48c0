"""Gradients: equal in the three frameworks, and right by the reference.

The reference has no gradients of its own; a directional finite difference of its loss is what they are held to.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from danet_common import DANetConfig, parameters
from shared_tests import reference
from shared_tests.fixtures.cases import CASES, Case
from shared_tests.fixtures.synthetic import synthetic_array, synthetic_input, synthetic_tensors
from shared_tests.parity.gradients import cotangents, mismatch
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.workers.backends import Worker
from shared_tests.workers.protocol import Request

PathOf = Callable[[DANetConfig], str]
GradientsOf = Callable[[str, str], dict[str, np.ndarray]]
AGREEMENT = 1e-10  # float64: a mini network gives 2e-13, R101 about 1e-12; more is a bug, not noise
DIFFERENCE = 1e-6  # of the sum of all terms' sizes
STEP = 1e-8  # larger, and ReLUs turn in between; smaller, and the loss is all rounding

SMALL = ("tiny", "paddle", "training_bottleneck")
PAIRS = (  # of context modules
    "cbam_and_squeeze_excitation",
    "training_bam_and_selective_kernel",
    "joint",
    "dranet",
    "self_attention_and_channel",
)
SLOW = (
    "position_and_non_local",
    "training_dranet",
    "no_attention",
    "mmseg",
    *(n for n, c in CASES.items() if len(c.config.context) == 1),
)
ALL = (*SMALL, *PAIRS, *SLOW)


@pytest.fixture(scope="module")
def gradients_of(start: Start, checkpoint_of: PathOf) -> GradientsOf:
    """Backend and case -> canonical name -> gradient; computed once."""
    actual: dict[tuple[str, str], dict[str, np.ndarray]] = {}

    def get(backend: str, name: str) -> dict[str, np.ndarray]:
        if (backend, name) not in actual:
            actual[backend, name] = gradients(CASES[name], start(backend), checkpoint_of)
        return actual[backend, name]

    return get


def gradients(case: Case, worker: Worker, checkpoint_of: PathOf) -> dict[str, np.ndarray]:
    """Canonical name -> float64 gradient of the case's loss in one backend."""
    request = Request(
        checkpoint=checkpoint_of(case.config),
        x=synthetic_input(case.config, case.batch, case.height, case.width).astype(np.float64),
        dtype="float64",
        training=case.training,
        cotangents=cotangents(case),
    )
    return worker.run(request).gradients


QUICK = ("paddle", "training_bottleneck")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in ALL])
def test_frameworks_agree(name: str, gradients_of: GradientsOf) -> None:
    torch, *others = [gradients_of(backend, name) for backend in NETWORKS]
    for actual in others:
        worst, where = mismatch(torch, actual)
        assert worst <= AGREEMENT, where


@pytest.mark.parametrize("kind", ["kernel", "bias", "scale", "shift", "gamma"])
@pytest.mark.parametrize("name", [pytest.param("tiny", marks=pytest.mark.slow), "training_bottleneck", "paddle"])
@pytest.mark.parametrize("backend", NETWORKS)
def test_reference_differences(backend: str, name: str, kind: str, gradients_of: GradientsOf) -> None:
    """Along a random direction in all tensors of one kind, the reference's loss changes as the gradient says."""
    check_slope(CASES[name], gradients_of(backend, name), kind)


@pytest.mark.parametrize("kind", ["gamma", "gain"])
def test_reference_differences_of_factors(kind: str, gradients_of: GradientsOf) -> None:
    """DRANet's two gammas and the gain of its decoder."""
    check_slope(CASES["dranet"], gradients_of("torch", "dranet"), kind)


@pytest.mark.parametrize(("backend", "name"), [(NETWORKS[n % 3], name) for n, name in enumerate(PAIRS)])
def test_reference_differences_of_modules(backend: str, name: str, gradients_of: GradientsOf) -> None:
    """The same for context modules, along their convolutions."""
    check_slope(CASES[name], gradients_of(backend, name), "kernel")


@pytest.mark.slow
def test_r101(gradients_of: GradientsOf) -> None:
    """The published network at its published depth, 97 x 129, batch 2."""
    torch, *others = [gradients_of(backend, "r101") for backend in NETWORKS]
    for actual in others:
        worst, where = mismatch(torch, actual)
        assert worst <= AGREEMENT, where
    check_slope(CASES["r101"], torch, "kernel")


def check_slope(case: Case, gradients: dict[str, np.ndarray], kind: str) -> None:
    """Assert that the reference's loss changes along a direction in all tensors of a kind as the gradients say."""
    direction = directions(case.config, kind)
    slope = sum(float(np.sum(gradients[name] * step)) for name, step in direction.items())
    size = sum(float(np.sum(np.abs(gradients[name] * step))) for name, step in direction.items())
    assert abs(slope - finite_difference(case, direction)) <= DIFFERENCE * size


def directions(config: DANetConfig, kind: str) -> dict[str, np.ndarray]:
    """A step for every tensor of a kind, of the tensor's own size."""
    tensors = synthetic_tensors(config)
    return {
        name: synthetic_array(f"direction:{name}", parameter.shape).astype(np.float64) * np.abs(tensors[name]).max()
        for name, parameter in parameters(config).items()
        if parameter.kind == kind
    }


def finite_difference(case: Case, direction: dict[str, np.ndarray]) -> float:
    """Central difference of the reference's loss."""
    tensors = synthetic_tensors(case.config)
    x = synthetic_input(case.config, case.batch, case.height, case.width)
    losses = []
    for sign in (1, -1):
        moved = {**tensors, **{name: tensors[name] + sign * STEP * step for name, step in direction.items()}}
        result = reference.forward(case.config, moved, x, training=case.training)
        losses.append(reference.loss(result.outputs, cotangents(case)))
    return (losses[0] - losses[1]) / (2 * STEP)
