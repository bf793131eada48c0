"""Mutated files of every format: each is read, or refused in one clear line, within bounds; nothing else happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared_tests.fuzzing.fuzz import fuzz
from shared_tests.fuzzing.inputs import load_seeds, make_input
from shared_tests.malicious.seeds import SEEDS, write_seeds

pytest.importorskip("tensorstore")

LONG = 100_000


def run(count: int, first: int, record_property: Callable[..., None]) -> None:
    """Fuzz, note the counts, and hold the run to them."""
    results = fuzz(first, count, processes=min(4, os.cpu_count() or 1))
    record_property("inputs", results.inputs)
    record_property("outcomes", {f"{name}: {outcome}": number for (name, outcome), number in results.outcomes.items()})
    assert not results.findings
    assert results.inputs == count
    for name in SEEDS:
        mine = {outcome: number for (seed, outcome), number in results.outcomes.items() if seed == name}
        assert sum(mine.values()) >= count // len(SEEDS)
        assert sum(number for outcome, number in mine.items() if outcome.startswith("refused")) > 0, name
        assert mine.get("read", 0) > 0, name  # else the mutations would only ever break the frame


def test_2000_mutated_files(record_property: Callable[..., None]) -> None:
    run(2_000, 1_000_000, record_property)


@pytest.mark.slow
@pytest.mark.serial
@pytest.mark.timeout(3600)
def test_100000_mutated_files(record_property: Callable[..., None]) -> None:
    run(LONG, 2_000_000, record_property)


def test_a_number_makes_the_same_input_again(tmp_path: Path) -> None:
    seeds = load_seeds(write_seeds(tmp_path))
    made = [make_input(number, seeds)[1] for number in range(200)]
    assert made == [make_input(number, seeds)[1] for number in range(200)]
    assert len({tuple(files.items()) for files in made}) > 180  # now and then a change changes nothing
