"""BatchNorm folded into the convolutions: the reference's numbers, without its tensors, and never written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from danet_common import Checkpoint, parameters
from danet_common.numerics.folding import FoldedTensors
from shared_tests.fixtures.cases import CASES, TINY
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.mutation.folding import FOLDING
from shared_tests.mutation.mutations import Mutation, mutate
from shared_tests.parity.check_case import CheckpointOf, check_case
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.network.test_parity import FASTEST
from shared_tests.workers.backends import BACKENDS
from weights_convert.live.source import as_checkpoint

MODES = [
    pytest.param(name, mode, marks=[pytest.mark.slow] * (FASTEST.get(name) != mode))
    for name, backend in BACKENDS.items()
    for mode in backend.modes
]


@pytest.mark.parametrize(("backend", "mode"), MODES)
@pytest.mark.parametrize("name", ["tiny", "paddle"])
def test_folded(backend: str, mode: str, name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    report = check_case(CASES[name], start(backend), checkpoint_of, mode=mode, layers="cpu_inference")
    assert report.agrees, (report.first_mismatch, report.cause)


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("torch", "bam"),
        ("tf", "selective_kernel"),
        ("jax", "non_local_embedded_gaussian"),
        ("torch", "dranet"),
        ("tf", "dranet"),
        ("jax", "dranet"),
    ],
)
def test_folded_modules(backend: str, name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """Networks of the context modules that have BatchNorm."""
    report = check_case(CASES[name], start(backend), checkpoint_of, mode=FASTEST[backend], layers="cpu_inference")
    assert report.agrees, (report.first_mismatch, report.cause)


@pytest.mark.parametrize(
    ("backend", "mutation"),
    [
        pytest.param(backend, mutation, id=f"{backend}-{mutation.name}", marks=[pytest.mark.slow] * (n % 3 != turn))
        for n, mutation in enumerate(FOLDING)
        for turn, backend in enumerate(NETWORKS)
    ],
)
def test_mutation_is_caught(mutation: Mutation, backend: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    worker = start(backend)
    mutate(worker, mutation.sources(backend))
    try:
        report = check_case(mutation.case, worker, checkpoint_of, mode=FASTEST[backend], layers="cpu_inference")
        assert not report.agrees, f"survives: {mutation.trap}"
    finally:
        mutate(worker, None)
    assert check_case(mutation.case, worker, checkpoint_of, mode=FASTEST[backend], layers="cpu_inference").agrees


@pytest.mark.parametrize("backend", NETWORKS)
def test_a_folded_network_is_not_written(backend: str, tmp_path: Path, checkpoint_of: CheckpointOf) -> None:
    package = pytest.importorskip(f"danet_{backend}")
    model = package.load(checkpoint_of(TINY), layers="cpu_inference")
    for write in (
        lambda: package.save(model, tmp_path / "folded.safetensors"),
        lambda: package.save_pretrained(model, tmp_path / "folded"),
        lambda: as_checkpoint(model),  # what the other frameworks' networks are filled from
    ):
        with pytest.raises(ValueError, match=r"no BatchNorm any more and cannot be saved\. Load it with layers='mem"):
            write()
    assert not list(tmp_path.iterdir())


def test_what_is_folded() -> None:
    """Every tensor but BatchNorm's, as it was but for the kernels before it, which have a bias each."""
    tensors = synthetic_tensors(TINY)
    folded = FoldedTensors(Checkpoint(TINY, tensors), "float32")
    table = parameters(TINY).values()
    plain = {p.name for p in table if not p.is_norm}
    norms = [p for p in table if p.kind == "scale"]
    assert plain <= folded.keys()
    assert len(folded) == len(plain) + len(norms)
    assert np.array_equal(folded["head.fused_classifier.weight"], tensors["head.fused_classifier.weight"])
    assert {folded[name].dtype for name in folded.keys() - plain} == {np.dtype(np.float32)}
    assert all(np.array_equal(tensors[name], array) for name, array in synthetic_tensors(TINY).items())
