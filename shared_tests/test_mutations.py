"""The judgement has teeth: each seeded bug, in each of the three networks, is caught by the case named for it."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from shared_tests.backends import BackendError, Worker
from shared_tests.compare import Verdict
from shared_tests.conftest import NETWORKS, Start
from shared_tests.judge import CheckpointOf, judge
from shared_tests.mutants import MUTATIONS
from shared_tests.mutations import PACKAGES, Mutation, alike
from shared_tests.test_parity import FASTEST

# A mutant that cannot even be written down proves nothing about the judge.
MISWRITTEN = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError", "AttributeError")

Sound = Callable[[Mutation, Worker], Verdict]


@pytest.fixture(scope="module")
def unmutated(checkpoint_of: CheckpointOf) -> Sound:
    """The verdict on the network as it is, in a mutation's case; judged once for all mutations of that case."""
    verdicts: dict[object, Verdict] = {}

    def get(mutation: Mutation, worker: Worker) -> Verdict:
        key = (mutation.case, mutation.dtype, mutation.offset, worker.backend.name)
        if key not in verdicts:
            verdicts[key] = run(mutation, worker, checkpoint_of)
        return verdicts[key]

    return get


def run(mutation: Mutation, worker: Worker, checkpoint_of: CheckpointOf) -> Verdict:
    mode = FASTEST[worker.backend.name]
    return judge(mutation.case, worker, checkpoint_of, mode=mode, dtype=mutation.dtype, offset=mutation.offset)


def caught(mutation: Mutation, worker: Worker, checkpoint_of: CheckpointOf) -> bool:
    """Whether the judge sees it. A network that cannot run is caught too, one that is no Python is not."""
    try:
        return not run(mutation, worker, checkpoint_of).agrees
    except BackendError as error:
        if any(word in str(error) for word in MISWRITTEN):
            raise
        return True


# Every bug in one network; in the other two, whose sources are parallel, among the slow tests. Seldom in JAX, which
# compiles for each one.
TURNS = ("torch", "tf", "torch", "tf", "jax")
SEEDED = [
    pytest.param(
        mutation,
        backend,
        id=f"{mutation.name}-{backend}",
        marks=[pytest.mark.slow] * (backend != TURNS[n % len(TURNS)]),
    )
    for n, mutation in enumerate(MUTATIONS)
    for backend in NETWORKS
]


@pytest.mark.parametrize(("mutation", "backend"), SEEDED)
def test_mutation_is_caught(
    mutation: Mutation, backend: str, start: Start, checkpoint_of: CheckpointOf, unmutated: Sound
) -> None:
    worker = start(backend)
    sound = unmutated(mutation, worker)
    assert sound.agrees, f"the real network fails: {sound.first_departure}: {sound.cause}"
    worker.mutate(mutation.sources(backend))
    try:
        assert caught(mutation, worker, checkpoint_of), f"survives: {mutation.trap}"
    finally:
        worker.mutate(None)


def test_mutations_are_taken_out_again(worker: Worker, checkpoint_of: CheckpointOf) -> None:
    mutation = MUTATIONS[0]
    worker.mutate(mutation.sources(worker.backend.name))
    assert not run(mutation, worker, checkpoint_of).agrees
    worker.mutate(None)
    assert run(mutation, worker, checkpoint_of).agrees


def test_every_mutation_is_for_all_networks_and_is_python() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    for mutation in MUTATIONS:
        assert set(mutation.edits) == set(PACKAGES), mutation.name
        for backend in PACKAGES:
            for source in mutation.sources(backend).values():
                ast.parse(source)


@pytest.mark.parametrize("old", ["no such text", "self"])
def test_text_that_is_not_there_once_is_refused(old: str) -> None:
    mutation = Mutation("wrong", "", MUTATIONS[0].case, alike("layers.py", (old, "")))
    with pytest.raises(ValueError, match="times, not once"):
        mutation.sources("torch")
