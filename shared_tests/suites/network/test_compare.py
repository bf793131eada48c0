"""Comparison: its numbers on small arrays, and what a report says and lists."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from danet_common.config.variants import VARIANTS
from shared_tests import reference
from shared_tests.fixtures.synthetic import synthetic_input, synthetic_tensors
from shared_tests.parity.compare import compare
from shared_tests.parity.distance import distance

TINY = VARIANTS["danet_tiny"]
GAMMAS = ("head.position_attention.gamma", "head.channel_attention.gamma")

Arrays = dict[str, np.ndarray]


def run(changes: Arrays) -> Arrays:
    """Taps and outputs of the reference, with some of the synthetic tensors changed."""
    result = reference.forward(
        TINY, {**synthetic_tensors(TINY), **changes}, synthetic_input(TINY, 2, 49, 63), taps="all"
    )
    return {**result.taps, **result.outputs}


@pytest.fixture(scope="module")
def expected() -> Arrays:
    return run({})


# Distances.
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ulps_count_representable_numbers(dtype: Any) -> None:
    one = dtype(1)
    actual = np.array([np.nextafter(one, dtype(2)), np.nextafter(np.nextafter(-one, dtype(-2)), dtype(-2))])
    assert distance(np.array([1.0, -1.0]), actual).max_ulp == 2
    smallest = np.nextafter(dtype(0), one)
    assert distance(np.array([-float(smallest), 0.0]), np.array([smallest, -0.0], dtype)).max_ulp == 2
    extremes = np.array([np.finfo(dtype).min, np.finfo(dtype).max])
    expected_values = 2 * int(np.array(np.finfo(dtype).max).view(f"u{extremes.itemsize}"))
    assert distance(extremes[::-1].astype(np.float64), extremes).max_ulp == expected_values


def test_ulps_of_bfloat16_and_of_integers() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    measured = distance(np.array([1.0, 3.0]), np.array([1.0078125, 3.0], bfloat16))
    assert (measured.max_ulp, measured.max_abs) == (1, 0.0078125)
    assert distance(np.array([1.001]), np.array([1.0], bfloat16)).max_ulp == 0  # the nearest there is
    assert distance(np.array([5]), np.array([4])).max_ulp is None


def test_relative_is_to_the_largest_expected_value() -> None:
    measured = distance(np.array([0.0, -8.0]), np.array([2.0, -8.0]))
    assert (measured.max_abs, measured.relative) == (2.0, 0.25)
    assert distance(np.zeros(2), np.zeros(2)).relative == 0
    assert distance(np.zeros(2), np.ones(2)).relative == np.inf


def test_nonfinite_values_agree_only_where_they_match() -> None:
    values = np.array([1.0, np.nan, np.inf, -np.inf])
    assert compare({"x": values}, {"x": values.copy()}).agrees
    for position, wrong in ((0, np.nan), (0, np.inf), (1, 1.0), (2, -np.inf), (3, 0.0)):
        actual = values.copy()
        actual[position] = wrong
        report = compare({"x": values}, {"x": actual}, tolerance=np.inf)
        assert not report.agrees
        assert report.differences[0].fault == "not finite"


# Reports.
def test_agreement_has_no_mismatch_and_no_cause(expected: Arrays) -> None:
    report = compare(expected, {name: array.astype(np.float32) for name, array in expected.items()}, 1e-6)
    assert report.agrees
    assert (report.first_mismatch, report.cause, report.causes) == (None, None, ())
    assert {difference.max_ulp for difference in report.differences} == {0}
    assert [difference.name for difference in report.differences] == list(expected)


def test_report_is_json_ready(expected: Arrays) -> None:
    broken = {**expected, "fused": expected["fused"][..., :-1], "layer2": np.full_like(expected["layer2"], np.nan)}
    report = compare(expected, {name: array for name, array in broken.items() if name != "aux"})
    content = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert not content["agrees"]
    assert content["first_mismatch"] == content["causes"][0]["tap"] == "layer2"
    by_name = {difference["name"]: difference for difference in content["differences"]}
    assert by_name["fused"]["fault"] == "shape"
    assert by_name["fused"]["actual_shape"] == [2, 19, 49, 62]
    assert by_name["stem"] == {**by_name["stem"], "agrees": True, "dtype": "float64", "max_abs": 0.0, "max_ulp": 0}


def test_both_sides_are_strict(expected: Arrays) -> None:
    fewer = {name: array for name, array in expected.items() if name != "layer3"}
    assert "layer3 is missing" in str(compare(expected, fewer).cause)
    assert "layer3 is not expected" in str(compare(fewer, expected).cause)
    assert not compare(fewer, expected).agrees
    with pytest.raises(ValueError, match="nothing to compare"):
        compare({}, {})


def test_tolerance_may_be_given_by_name(expected: Arrays) -> None:
    actual = {**expected, "stem": expected["stem"] * 1.001}
    loose = dict.fromkeys(expected, 1e-10)
    assert not compare(expected, actual, loose).agrees
    assert compare(expected, actual, {**loose, "stem": 1e-2}).agrees
    with pytest.raises(ValueError, match="no tolerance for stem"):
        compare(expected, actual, {name: bound for name, bound in loose.items() if name != "stem"})


def test_two_independent_mismatches_have_two_causes(expected: Arrays) -> None:
    report = compare(expected, run({name: np.zeros(1) for name in GAMMAS}))
    assert [(cause.tap, cause.text) for cause in report.causes] == [
        ("position_attention", "gamma: actual 0, expected 0.7"),
        ("channel_attention", "gamma: actual 0, expected -0.6"),
    ]


def test_names_that_are_no_stages_are_compared_too() -> None:
    """Gradients, for one: the first mismatch is then the only cause."""
    expected = {"a.weight": np.ones(3), "b.weight": np.ones((2, 2)), "c.bias": np.ones(1)}
    report = compare(expected, {**expected, "b.weight": 2 * np.ones((2, 2)), "c.bias": np.zeros(1)})
    assert [cause.tap for cause in report.causes] == ["b.weight"]
    assert "no known mistake" in str(report.cause)
