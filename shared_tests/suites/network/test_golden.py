"""The live reference still gives what was recorded, and the record would notice if it did not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from danet_common.config.variants import VARIANTS
from shared_tests.fixtures import golden
from shared_tests.fixtures.golden import CASES, mismatch, read, record, sample
from shared_tests.fixtures.synthetic import synthetic_array

# Another BLAS sums in another order; through 150 convolutions that reaches a few 1e-14.
DRIFT = 1e-12
SLOW = ("r152",)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in CASES])
def test_reference_gives_what_was_recorded(name: str) -> None:
    recorded, live = read(name), record(CASES[name])
    assert recorded.case == CASES[name], "the case has changed: record it again"
    assert recorded.digest == live.digest, "the rule draws other weights: record every case again"
    pairs = (
        (recorded.taps, live.taps),
        (recorded.outputs, live.outputs),
        (recorded.statistics, live.statistics),
    )
    for old, new in pairs:
        assert list(old) == list(new)
        for key, one in old.items():
            assert mismatch(one, new[key]) <= DRIFT, key


def test_every_case_and_nothing_else_is_recorded() -> None:
    assert {path.stem for path in golden.FOLDER.glob("*")} == set(CASES)
    assert sum(path.stat().st_size for path in golden.FOLDER.glob("*")) < 2 * 2**20


def test_every_field_that_changes_the_numbers_has_a_case() -> None:
    """Labels of pixels and classes, and how dropout draws, do not change them."""
    plain = VARIANTS["danet_tiny"].to_dict()
    varied = {key for case in CASES.values() for key, value in case.config.to_dict().items() if value != plain[key]}
    assert set(plain) - varied == {"class_names", "palette", "dropout"}


def test_training_cases_hold_statistics_and_the_others_none() -> None:
    for name, case in CASES.items():
        assert bool(read(name).statistics) == case.training


def test_recording_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    content = record(CASES["training"])
    for name in ("one", "two"):
        golden.write(content, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_mismatch_sees_every_kind_of_change() -> None:
    x = synthetic_array("x", (2, 3, 40, 40)).astype(np.float64)
    one = sample("x", x)
    assert one.values.size == 64
    assert mismatch(one, sample("x", x)) == 0
    assert mismatch(one, sample("x", x * (1 + 1e-9))) == pytest.approx(1e-9, rel=1e-3)
    for wrong in (x.transpose(0, 1, 3, 2), x[:, ::-1], x[::-1], -x):
        assert mismatch(one, sample("x", wrong)) > 0.1
    assert mismatch(one, sample("x", x[..., :-1])) == np.inf
    assert mismatch(one, sample("x", np.full_like(x, np.nan))) == np.inf
    assert mismatch(sample("zero", np.zeros(3)), sample("zero", np.full(3, 0.5))) == 0.5


def test_small_arrays_are_kept_whole() -> None:
    assert sample("small", np.arange(4.0)).values.tolist() == [0, 1, 2, 3]
    assert sample("scalar", np.array(7)).shape == ()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(KeyError, match="no golden r51; there are tiny, r18"):
        read("r51")
    with pytest.raises(SystemExit, match="no such case: r51"):
        golden.main(["r51"])
