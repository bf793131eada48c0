"""Position attention in slices: the numbers of the whole map, without its memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danet_common import DANetConfig, slices, stage_names
from shared_tests.backends import BACKENDS, BackendError, Worker
from shared_tests.compare import Verdict
from shared_tests.conftest import NETWORKS, Start
from shared_tests.golden_cases import TINY, Case
from shared_tests.job import Answer, Job
from shared_tests.judge import CheckpointOf, case_input, judge
from shared_tests.mutants_attention import SLICES
from shared_tests.mutations import Mutation
from shared_tests.rule import rule_array
from shared_tests.test_gradients import cotangents, departure
from shared_tests.test_recompute import AGREEMENT as RECOMPUTED
from shared_tests.test_training import RECIPE, at, beginning, go_on
from shared_tests.test_training import departure as moved

CASE = Case(TINY.replace(channel_attention=False), height=33, width=49)  # batch 2
POSITIONS = 5 * 7
WITHOUT_MAP = tuple(name for name in stage_names(CASE.config) if name != "position_map")  # which would be made whole
GRADIENTS = 1e-12  # of the largest in a module: a sum over slices adds in another order, and float64 ends at 2e-16
ENTRIES = {  # slices of so many rows each
    1: 1,
    8: 8 * POSITIONS,  # 7 each
    9: 9 * POSITIONS,  # 9, 9, 9, 8
    34: POSITIONS**2 - POSITIONS,  # 18, 17
    POSITIONS: POSITIONS**2,
    1000: 1000 * POSITIONS,  # more than there are
}


@contextlib.contextmanager
def sliced(worker: Worker, entries: int) -> Iterator[None]:
    """Networks that a worker makes meanwhile hold so many entries of the map at once."""
    worker.practise("set_slice_size", {"entries": entries}, {}, "shared_tests.slicing")
    try:
        yield
    finally:
        worker.practise("set_slice_size", {"entries": None}, {}, "shared_tests.slicing")


def verdict(worker: Worker, checkpoint_of: CheckpointOf, mode: str, case: Case = CASE) -> Verdict:
    """All stages but the map against the reference."""
    return judge(case, worker, checkpoint_of, mode=mode, stages=WITHOUT_MAP)


def with_gradients(worker: Worker, checkpoint_of: CheckpointOf, case: Case = CASE) -> Answer:
    """Logits, and the gradients of all parameters."""
    x = case_input(case).astype(np.float64)
    return worker.run(
        Job(checkpoint=checkpoint_of(case.config), x=x, dtype="float64", cotangents=cotangents(case))
    )


@pytest.mark.parametrize("positions", [1, 2, 35, 4096, 4097, 50176])
@pytest.mark.parametrize("entries", [1, 34, 35, 36, 1225, slices.SLICE_SIZE])
def test_rows(positions: int, entries: int) -> None:
    """As few slices as the size allows, and those as equal as they can be."""
    rows = slices.rows(positions, entries)
    assert 1 <= rows <= positions
    assert (rows - 1) * positions < entries
    count = math.ceil(positions / rows)
    assert rows == math.ceil(positions / count)
    assert count == 1 or (positions / (count - 1)) * positions > entries


MODES = {
    "torch": ("eager", pytest.param("compile", marks=pytest.mark.slow)),
    "tf": ("eager", "function", pytest.param("xla", marks=pytest.mark.slow)),
    "jax": ("jit",),
    "keras_jax": ("function",),
}
