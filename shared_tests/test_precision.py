"""float32 and bfloat16: each framework's distance from the float64 truth, held against the others' own.

No absolute tolerance could tell a wrong eps from rounding at every depth; the three frameworks' errors can,
as all three round the same network.
"""

from __future__ import annotations

import numpy as np
import pytest

from shared_tests.compare import compare
from shared_tests.conftest import NETWORKS, Start
from shared_tests.golden_cases import CASES, TINY, Case
from shared_tests.judge import CheckpointOf, job_of, named, truth

FACTOR = 5.0  # between frameworks that add the same numbers in another order; wrong eps is a factor of 100 and more
FLOOR = 2.0**-23  # one unit in the last place of float32: nobody is asked to be better
COARSER = 2.0**16  # the unit roundoff of bfloat16 in float32's


def relative(case: Case, dtype: str, start: Start, checkpoint_of: CheckpointOf, offset: float = 0.0) -> list[dict]:
    """By backend: array name -> relative difference from the float64 truth."""
    found = []
    for backend in NETWORKS:
        mode = "jit" if backend == "jax" else "eager"
        answer = start(backend).run(job_of(case, checkpoint_of(case.config), mode=mode, dtype=dtype, offset=offset))
        verdict = compare(truth(case, offset), named(answer), np.inf)
        counted = [d for d in verdict.differences if not d.name.endswith("num_batches_tracked")]
        assert not any(difference.fault for difference in counted)
        found.append({difference.name: difference.relative for difference in counted})
    return found


def assert_alike(errors: list[dict]) -> None:
    """No framework is further from the truth, at any stage, than FACTOR times the middle one of the three."""
    for name in errors[0]:
        middle = sorted(error[name] for error in errors)[1]
        for backend, error in zip(NETWORKS, errors, strict=True):
            assert error[name] <= FACTOR * max(middle, FLOOR), (backend, name)


@pytest.mark.parametrize("name", ["tiny", "paddle", "training", "r50"])
def test_float32(name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    assert_alike(relative(CASES[name], "float32", start, checkpoint_of))


def test_large_mean(start: Start, checkpoint_of: CheckpointOf) -> None:
    """A mean far above the deviation: E[x^2] - E[x]^2 would cancel, two passes do not."""
    assert_alike(relative(CASES["training"], "float32", start, checkpoint_of, offset=1000.0))


@pytest.mark.parametrize("name", ["tiny", "paddle", "training"])
def test_bfloat16(name: str, start: Start, checkpoint_of: CheckpointOf) -> None:
    """Alike, and no worse than float32 by more than the two formats' roundoffs differ."""
    case = CASES[name]
    coarse = relative(case, "bfloat16", start, checkpoint_of)
    fine = relative(case, "float32", start, checkpoint_of)
    assert_alike(coarse)
    for error, reference in zip(coarse, fine, strict=True):
        worst = max(error[output] for output in case.config.outputs)
        assert worst <= FACTOR * COARSER * max(reference[output] for output in case.config.outputs)


def test_bfloat16_keeps_energies(start: Start, checkpoint_of: CheckpointOf) -> None:
    """Softmax runs in float32: rows of a bfloat16 network's attention sum to one as exactly as float32 can."""
    case = Case(TINY)
    for backend in NETWORKS:
        answer = start(backend).run(job_of(case, checkpoint_of(TINY), dtype="bfloat16"))
        for name in ("position_map", "channel_map"):
            sums = answer.stages[name].astype(np.float64).sum(axis=2)
            assert np.abs(sums - 1).max() <= 64 * 2.0**-24, (backend, name)  # a row has under 64 terms of weight
