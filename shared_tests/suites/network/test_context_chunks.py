"""Context modules whose map has an entry for each pair of positions, in chunks: the same numbers and gradients."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from danet_common import tap_names
from shared_tests.fixtures.cases import TINY, Case
from shared_tests.mutation.context import CHUNKED_MUTATIONS
from shared_tests.mutation.mutations import Mutation, mutate
from shared_tests.parity.check_case import CheckpointOf, case_input, check_case
from shared_tests.parity.gradients import cotangents, mismatch
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.network.test_attention_memory import chunked
from shared_tests.suites.network.test_gradients import AGREEMENT
from shared_tests.suites.network.test_parity import FASTEST
from shared_tests.workers.backends import BACKENDS, Worker
from shared_tests.workers.protocol import Request, Response

ENTRIES = 9 * 5 * 7  # nine queries at once, of 35; fewer where keys are pooled and so fewer
CASES = {
    "self_attention": Case(TINY.replace(context=("self_attention",)), height=33, width=49),
    "joint": Case(TINY.replace(context=("joint_position", "joint_channel")), height=33, width=49),
    **{
        f"{form}{'_pooled' * pooled}": Case(
            TINY.replace(context=("non_local",), non_local_form=form, non_local_pooled=pooled), height=33, width=49
        )
        for form, pooled in (
            ("gaussian", False),
            ("embedded_gaussian", True),
            ("dot_product", False),
            ("concatenation", False),
            ("concatenation", True),
        )
    },
}
RUNS = [
    pytest.param(backend, name, marks=[pytest.mark.slow] * (backend != "torch"))  # the others compile, or trace
    for name in CASES
    for backend in NETWORKS
]


def without_maps(case: Case) -> tuple[str, ...]:
    """Taps that do not make the map whole; the channels' map is never in chunks."""
    chunked_maps = ("joint_position_map", "non_local_map", "self_attention_map")
    return tuple(n for n in tap_names(case.config) if n not in chunked_maps)


def with_gradients(case: Case, worker: Worker, checkpoint_of: CheckpointOf) -> Response:
    """Logits, and the gradients of all parameters."""
    x = case_input(case).astype(np.float64)
    request = Request(checkpoint=checkpoint_of(case.config), x=x, dtype="float64", cotangents=cotangents(case))
    return worker.run(request)


@pytest.mark.parametrize(("backend", "name"), RUNS)
def test_agrees(backend: str, name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """With the reference, and with the whole map's gradients in PyTorch, which other suites hold to it."""
    case, mode = CASES[name], FASTEST[backend]
    expected = with_gradients(case, start("torch"), checkpoint_of).gradients
    with chunked(start(backend), ENTRIES) as worker:
        report = check_case(case, worker, checkpoint_of, mode=mode, taps=without_maps(case))
        actual = with_gradients(case, worker, checkpoint_of).gradients
    assert report.agrees, (report.first_mismatch, report.cause)
    worst, where = mismatch(expected, actual)
    assert worst <= AGREEMENT, where


@pytest.mark.parametrize(
    ("backend", "mode"), [("tf", "function"), *(pytest.param(*m, marks=pytest.mark.slow) for m in (("tf", "xla"),))]
)
@pytest.mark.parametrize("name", ["concatenation_pooled", pytest.param("joint", marks=pytest.mark.slow)])
def test_of_a_size_that_only_the_graph_knows(
    backend: str, mode: str, name: str, start: Start, checkpoint_of: CheckpointOf
) -> None:
    with chunked(start(backend), ENTRIES) as worker:
        report = check_case(CASES[name], worker, checkpoint_of, mode=mode, taps=without_maps(CASES[name]))
    assert report.agrees, (report.first_mismatch, report.cause)


@pytest.mark.parametrize("backend", ["torch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tf", "jax"))])
@pytest.mark.parametrize("mutation", CHUNKED_MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_is_caught(mutation: Mutation, backend: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """By the logits, or else by the gradients."""
    worker = start(backend)
    expected = with_gradients(mutation.case, start("torch"), checkpoint_of).gradients
    mutate(worker, mutation.sources(backend))
    try:
        with chunked(worker, ENTRIES):
            taps = without_maps(mutation.case)
            report = check_case(mutation.case, worker, checkpoint_of, mode=FASTEST[backend], taps=taps)
            if report.agrees:
                actual = with_gradients(mutation.case, worker, checkpoint_of).gradients
                assert mismatch(expected, actual)[0] > AGREEMENT, f"survives: {mutation.trap}"
    finally:
        mutate(worker, None)


FULL_RESOLUTION = """
import json, resource, sys
import numpy as np
import danet_{backend} as package
{setup}
context = package.context.MODULES
modules = (context["joint_position"](16, 2, *more), context["joint_channel"](16, *more),
           context["self_attention"](16, 2, *more))
x = np.random.default_rng(0).standard_normal({shape}, np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for module in modules:
    x = {call}
found = np.asarray(x)
print(json.dumps([found.shape, bool(np.isfinite(found).all()),
                  (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024]))
"""
PROGRAMS = {
    "torch": (
        "import torch; more = [package.DANet('danet_tiny').layer_set]",
        (1, 16, 224, 224),
        "module(torch.as_tensor(x)).detach()",
    ),
    "tf": ("more = [package.DANet('danet_tiny').layer_set]", (1, 224, 224, 16), "module(x)"),
    "jax": (
        "more = [package.DANet('danet_tiny').layer_set]",
        (1, 224, 224, 16),
        "module(package.inference.jnp.asarray(x))",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", NETWORKS)
def test_full_resolution(backend: str) -> None:
    """224 x 224: N = 50,176, and a whole map of 9.4 GiB."""
    if BACKENDS[backend].missing:
        pytest.skip(f"{backend} needs {', '.join(BACKENDS[backend].missing)}")
    setup, shape, call = PROGRAMS[backend]
    program = FULL_RESOLUTION.format(backend=backend, setup=setup, shape=shape, call=call)
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    actual, finite, grown = json.loads(done.stdout)
    assert tuple(actual) == shape
    assert finite
    assert grown < 1 << 30, f"{grown / 2**20:.0f} MiB"
