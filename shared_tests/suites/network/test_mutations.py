"""The parity checks fail for each seeded bug, in each of the three networks, in the case named for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

import pytest

from shared_tests.mutation.mutants import MUTATIONS, SPECIAL
from shared_tests.mutation.mutations import (
    PACKAGES,
    Edit,
    EditError,
    Mutation,
    apply_edit,
    edits_by_backend,
    find_definition,
    mutate,
    same_edit,
)
from shared_tests.parity.check_case import CheckpointOf, check_case
from shared_tests.parity.compare import ComparisonReport
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.network.test_parity import FASTEST
from shared_tests.workers.backends import BackendError, Worker

# A mutant that is not valid Python proves nothing about the checks.
MISWRITTEN = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError", "AttributeError")

Sound = Callable[[Mutation, Worker], ComparisonReport]


@pytest.fixture(scope="module")
def unmutated(checkpoint_of: CheckpointOf) -> Sound:
    """The report on the network as it is, in a mutation's case; made once for all mutations of that case."""
    reports: dict[object, ComparisonReport] = {}

    def get(mutation: Mutation, worker: Worker) -> ComparisonReport:
        key = (mutation.case, mutation.dtype, mutation.offset, worker.backend.name)
        if key not in reports:
            reports[key] = run(mutation, worker, checkpoint_of)
        return reports[key]

    return get


def run(mutation: Mutation, worker: Worker, checkpoint_of: CheckpointOf) -> ComparisonReport:
    mode = FASTEST[worker.backend.name]
    return check_case(mutation.case, worker, checkpoint_of, mode=mode, dtype=mutation.dtype, offset=mutation.offset)


def caught(mutation: Mutation, worker: Worker, checkpoint_of: CheckpointOf) -> bool:
    """True if the check fails. A network that cannot run is caught too; one that is not valid Python is not."""
    try:
        return not run(mutation, worker, checkpoint_of).agrees
    except BackendError as error:
        if any(word in str(error) for word in MISWRITTEN):
            raise
        return True


# The quick tests seed every bug in one network. The slow tests seed it in the other two, whose sources are parallel.
# The turns are rarer where a bug takes longer: 0.2 s in PyTorch, 1 s in TensorFlow, 2 s in JAX, which compiles it.
TURNS = ("torch", "torch", "tf", "torch", "torch", "torch", "torch", "tf", "torch", "jax")
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
    assert sound.agrees, f"the real network fails: {sound.first_mismatch}: {sound.cause}"
    mutate(worker, mutation.sources(backend))
    try:
        assert caught(mutation, worker, checkpoint_of), f"survives: {mutation.trap}"
    finally:
        mutate(worker, None)


def test_mutations_are_taken_out_again(worker: Worker, checkpoint_of: CheckpointOf) -> None:
    mutation = MUTATIONS[0]
    mutate(worker, mutation.sources(worker.backend.name))
    assert not run(mutation, worker, checkpoint_of).agrees
    mutate(worker, None)
    assert run(mutation, worker, checkpoint_of).agrees


def test_every_mutation_applies_and_is_python() -> None:
    """By the syntax tree alone. Lists every mutation that does not apply, so that one run names all to mend."""
    misses = []
    for mutation in (*MUTATIONS, *SPECIAL):
        for backend in mutation.edits:
            try:
                for module, source in mutation.sources(backend).items():
                    ast.parse(source, module)
            except (EditError, SyntaxError) as error:
                misses.append(f"{mutation.name}, {backend}: {error!r}")
    assert not misses, "\n".join(misses)


def test_every_mutation_of_a_forward_pass_is_for_all_networks() -> None:
    names = [mutation.name for mutation in (*MUTATIONS, *SPECIAL)]
    assert len(set(names)) == len(names)
    for mutation in MUTATIONS:
        assert set(mutation.edits) == set(PACKAGES), mutation.name


@pytest.mark.parametrize(
    ("within", "old", "message"),
    [
        ("max_pool", "no such text", "max_pool has 0 times, not once: 'no such text'"),
        ("max_pool", "x", "times, not once: 'x'"),
        ("max_pool.forward", "x", "neither danet_torch nor danet_common defines max_pool.forward"),
    ],
)
def test_edit_that_misses_is_refused_by_name(within: str, old: str, message: str) -> None:
    mutation = Mutation("wrong", "", MUTATIONS[0].case, {"torch": (Edit(within, old, ""),)})
    with pytest.raises(EditError, match=re.escape(message)) as refused:
        mutation.sources("torch")
    assert str(refused.value).startswith("wrong, torch: ")


def test_edit_stays_inside_its_definition() -> None:
    source = (
        "def one(x):\n    return x + 1\n\n\n"
        "class Two:\n    @staticmethod\n    def one(x):\n        return x + 1\n\n    two = 1\n"
    )
    edit = Edit("Two.one", "return x + 1", "x = x + 2\nreturn x")
    assert apply_edit(edit, source) == source.replace("        return x + 1\n", "        x = x + 2\n        return x\n")
    assert apply_edit(Edit("Two.two", "1", "2"), source) == source.replace("two = 1", "two = 2")
    with pytest.raises(EditError, match="defined 2 times"):
        apply_edit(Edit("one", "1", "2"), source + "\n\ndef one(x):\n    return x\n")


def test_definition_of_the_common_package_is_found_for_every_backend() -> None:
    assert {find_definition(package, "FoldedTensors.factor").name for package in PACKAGES.values()} == {"folding.py"}


def test_edits_name_each_packages_forward_pass() -> None:
    names = {"torch": "A.forward", "tf": "A.call", "jax": "A.__call__"}
    assert {name: edit.within for name, (edit,) in same_edit("A.forward", ("a", "b")).items()} == names
    edits = edits_by_backend("A.forward", torch=("a", "b"), tf=Edit("A.build", "a", "b"))
    assert {name: edit.within for name, (edit,) in edits.items()} == {"torch": "A.forward", "tf": "A.build"}
