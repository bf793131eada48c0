"""The comparison of actual arrays with expected ones by name: a report, and the likely cause of a mismatch.

    report = compare({**expected.taps, **expected.outputs}, {**taps, **outputs}, tolerance=1e-10)
    assert report.agrees, report.cause

Arrays are N,C,H,W (maps as the reference has them), the expected ones in the order of the forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from danet_common.config import ContextKind
from danet_common.config.context_kinds import CONTEXT
from shared_tests.parity.diagnosis.likely_cause import Mismatch, likely_cause
from shared_tests.parity.distance import distance

KINDS = get_args(ContextKind)

# What each tap is computed from: a mismatch begins where all of these still agree.
BEFORE: dict[str, tuple[str, ...]] = {
    "stem": (),
    "layer1": ("stem",),
    "layer2": ("layer1",),
    "layer3": ("layer2",),
    "layer4": ("layer3",),
    **{f"{kind}_in": ("layer4",) for kind in KINDS},
    **{f"{kind}_out": (f"{kind}_attention",) for kind in KINDS},
    **{f"{kind}_logits": (f"{kind}_out",) for kind in KINDS},
    **{
        f"{kind}_{value}": tuple(f"{kind}_{name}" for name in inputs.split())
        for kind, facts in CONTEXT.items()
        for value, inputs in facts.inputs.items()
    },
    "plain_out": ("layer4",),
    "merged": (*(f"{kind}_out" for kind in KINDS), "plain_out"),
    "decoder_low": ("layer1",),
    "decoder_gate": ("decoder_low", "merged"),
    "decoder_joined": ("decoder_low", "decoder_gate", "merged"),
    "decoder_out": ("decoder_joined",),
    "fused_logits": (*(f"{kind}_out" for kind in KINDS), "plain_out", "decoder_out"),
    "aux_logits": ("layer3", "layer4"),
    **{output: (f"{output}_logits",) for output in ("fused", *KINDS, "aux")},
}


@dataclass(frozen=True)
class Difference:
    """One named array. The numbers are None where they do not exist: for another shape or a missing array.

    fault  "" | "missing" | "unexpected" | "shape" | "not finite"
    """

    name: str
    shape: tuple[int, ...] | None
    actual_shape: tuple[int, ...] | None
    dtype: str | None
    max_abs: float | None
    relative: float | None
    max_ulp: int | None
    tolerance: float
    fault: str

    @property
    def agrees(self) -> bool:
        """True if the array has the expected shape, is as finite as expected, and within the tolerance."""
        return not self.fault and self.relative is not None and self.relative <= self.tolerance


@dataclass(frozen=True)
class Cause:
    """The tap where a mismatch begins, and its likely cause."""

    tap: str
    text: str


@dataclass(frozen=True)
class ComparisonReport:
    """The differences in network order, and the likely cause of each mismatch that has no earlier one."""

    differences: tuple[Difference, ...]
    causes: tuple[Cause, ...]

    @property
    def agrees(self) -> bool:
        """True if every array agrees."""
        return all(difference.agrees for difference in self.differences)

    @property
    def first_mismatch(self) -> str | None:
        """The first array in network order that does not agree."""
        return next((difference.name for difference in self.differences if not difference.agrees), None)

    @property
    def cause(self) -> str | None:
        """The likely cause of the first mismatch, in words."""
        return self.causes[0].text if self.causes else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; a number that is infinite is None."""
        return {
            "agrees": self.agrees,
            "first_mismatch": self.first_mismatch,
            "cause": self.cause,
            "causes": [asdict(cause) for cause in self.causes],
            "differences": [
                {"agrees": difference.agrees, **{key: _jsonable(value) for key, value in asdict(difference).items()}}
                for difference in self.differences
            ],
        }


def compare(
    expected: Mapping[str, NDArray[Any]],
    actual: Mapping[str, NDArray[Any]],
    tolerance: float | Mapping[str, float] = 1e-10,
) -> ComparisonReport:
    """Compare every named array of both. `tolerance` bounds the relative difference, for all or by name.

    Raises ValueError if there is nothing to compare, or where `tolerance` lacks a name.
    """
    names = [*expected, *(name for name in actual if name not in expected)]
    if not names:
        raise ValueError("nothing to compare: both sides are empty")
    if isinstance(tolerance, Mapping):
        missing = [name for name in names if name not in tolerance]
        if missing:
            raise ValueError(f"no tolerance for {', '.join(missing)}")
    bounds = {name: tolerance[name] if isinstance(tolerance, Mapping) else tolerance for name in names}
    differences = tuple(_difference(name, expected.get(name), actual.get(name), bounds[name]) for name in names)
    causes = tuple(
        Cause(name, likely_cause(Mismatch(name, expected, actual, bounds[name]))) for name in _origins(differences)
    )
    return ComparisonReport(differences, causes)


def _difference(name: str, expected: NDArray[Any] | None, actual: NDArray[Any] | None, tolerance: float) -> Difference:
    shape = None if expected is None else expected.shape
    actual_shape = None if actual is None else actual.shape
    dtype = None if actual is None else actual.dtype.name
    if expected is None or actual is None or shape != actual_shape:
        fault = "unexpected" if expected is None else "missing" if actual is None else "shape"
        return Difference(name, shape, actual_shape, dtype, None, None, None, tolerance, fault)
    measured = distance(expected, actual)
    fault = "not finite" if measured.nonfinite_mismatches else ""
    return Difference(
        name, shape, actual_shape, dtype, measured.max_abs, measured.relative, measured.max_ulp, tolerance, fault
    )


def _origins(differences: tuple[Difference, ...]) -> list[str]:
    """The mismatches that no earlier mismatch explains; two branches may each have one."""
    mismatched = [difference.name for difference in differences if not difference.agrees]
    origins = [name for name in mismatched if name in BEFORE and not set(BEFORE[name]) & set(mismatched)]
    return origins if mismatched[:1] == origins[:1] else mismatched[:1] + origins


def _jsonable(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not np.isfinite(value) else value
