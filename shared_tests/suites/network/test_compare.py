"""The comparison engine: its numbers on small arrays, and what a verdict says and lists."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from danet_common.variants import VARIANTS
from shared_tests import reference
from shared_tests.fixtures.synthetic import rule_input, rule_tensors
from shared_tests.parity.compare import compare
from shared_tests.parity.distance import distance

TINY = VARIANTS["danet_tiny"]
GAMMAS = ("head.position_attention.gamma", "head.channel_attention.gamma")

Arrays = dict[str, np.ndarray]


def run(changes: Arrays) -> Arrays:
    """Stages and outputs of the reference, with some of the rule's tensors changed."""
    result = reference.forward(TINY, {**rule_tensors(TINY), **changes}, rule_input(TINY, 2, 49, 63), stages="all")
    return {**result.stages, **result.outputs}


@pytest.fixture(scope="module")
def truth() -> Arrays:
    return run({})


# Distances.
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ulps_count_representable_numbers(dtype: Any) -> None:
    one = dtype(1)
    candidate = np.array([np.nextafter(one, dtype(2)), np.nextafter(np.nextafter(-one, dtype(-2)), dtype(-2))])
    assert distance(np.array([1.0, -1.0]), candidate).max_ulp == 2
    smallest = np.nextafter(dtype(0), one)
    assert distance(np.array([-float(smallest), 0.0]), np.array([smallest, -0.0], dtype)).max_ulp == 2
    extremes = np.array([np.finfo(dtype).min, np.finfo(dtype).max])
    wanted = 2 * int(np.array(np.finfo(dtype).max).view(f"u{extremes.itemsize}"))
    assert distance(extremes[::-1].astype(np.float64), extremes).max_ulp == wanted


def test_ulps_of_bfloat16_and_of_integers() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    found = distance(np.array([1.0, 3.0]), np.array([1.0078125, 3.0], bfloat16))
    assert (found.max_ulp, found.max_abs) == (1, 0.0078125)
    assert distance(np.array([1.001]), np.array([1.0], bfloat16)).max_ulp == 0  # the nearest there is
    assert distance(np.array([5]), np.array([4])).max_ulp is None


def test_relative_is_to_the_largest_truth() -> None:
    found = distance(np.array([0.0, -8.0]), np.array([2.0, -8.0]))
    assert (found.max_abs, found.relative) == (2.0, 0.25)
    assert distance(np.zeros(2), np.zeros(2)).relative == 0
    assert distance(np.zeros(2), np.ones(2)).relative == np.inf


def test_stray_values_disagree_and_matched_ones_agree() -> None:
    values = np.array([1.0, np.nan, np.inf, -np.inf])
    assert compare({"x": values}, {"x": values.copy()}).agrees
    for position, wrong in ((0, np.nan), (0, np.inf), (1, 1.0), (2, -np.inf), (3, 0.0)):
        candidate = values.copy()
        candidate[position] = wrong
        verdict = compare({"x": values}, {"x": candidate}, tolerance=np.inf)
        assert not verdict.agrees
        assert verdict.differences[0].fault == "not finite"


# Verdicts.
def test_agreement_has_no_departure_and_no_cause(truth: Arrays) -> None:
    verdict = compare(truth, {name: array.astype(np.float32) for name, array in truth.items()}, 1e-6)
    assert verdict.agrees
    assert (verdict.first_departure, verdict.cause, verdict.causes) == (None, None, ())
    assert {difference.max_ulp for difference in verdict.differences} == {0}
    assert [difference.name for difference in verdict.differences] == list(truth)


def test_verdict_is_json_ready(truth: Arrays) -> None:
    broken = {**truth, "fused": truth["fused"][..., :-1], "layer2": np.full_like(truth["layer2"], np.nan)}
    verdict = compare(truth, {name: array for name, array in broken.items() if name != "aux"})
    content = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert not content["agrees"]
    assert content["first_departure"] == content["causes"][0]["stage"] == "layer2"
    by_name = {difference["name"]: difference for difference in content["differences"]}
    assert by_name["fused"]["fault"] == "shape"
    assert by_name["fused"]["candidate_shape"] == [2, 19, 49, 62]
    assert by_name["stem"] == {**by_name["stem"], "agrees": True, "dtype": "float64", "max_abs": 0.0, "max_ulp": 0}


def test_both_sides_are_strict(truth: Arrays) -> None:
    fewer = {name: array for name, array in truth.items() if name != "layer3"}
    assert "candidate has no layer3" in str(compare(truth, fewer).cause)
    assert "truth has no layer3" in str(compare(fewer, truth).cause)
    assert not compare(fewer, truth).agrees
    with pytest.raises(ValueError, match="nothing to compare"):
        compare({}, {})


def test_tolerance_may_be_given_by_name(truth: Arrays) -> None:
    candidate = {**truth, "stem": truth["stem"] * 1.001}
    loose = dict.fromkeys(truth, 1e-10)
    assert not compare(truth, candidate, loose).agrees
    assert compare(truth, candidate, {**loose, "stem": 1e-2}).agrees
    with pytest.raises(ValueError, match="no tolerance for stem"):
        compare(truth, candidate, {name: bound for name, bound in loose.items() if name != "stem"})


def test_two_independent_departures_have_two_causes(truth: Arrays) -> None:
    verdict = compare(truth, run({name: np.zeros(1) for name in GAMMAS}))
    assert [(cause.stage, cause.text) for cause in verdict.causes] == [
        ("position_attention", "gamma: the candidate's is 0, the truth's 0.7"),
        ("channel_attention", "gamma: the candidate's is 0, the truth's -0.6"),
    ]


def test_names_that_are_no_stages_are_compared_too() -> None:
    """Gradients, for one: the first departure is then the only cause."""
    truth = {"a.weight": np.ones(3), "b.weight": np.ones((2, 2)), "c.bias": np.ones(1)}
    verdict = compare(truth, {**truth, "b.weight": 2 * np.ones((2, 2)), "c.bias": np.zeros(1)})
    assert [cause.stage for cause in verdict.causes] == ["b.weight"]
    assert "no known mistake" in str(verdict.cause)
