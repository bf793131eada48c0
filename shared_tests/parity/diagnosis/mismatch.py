"""A mismatch: the first array that is not as expected, and the arrays that its cause is sought in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared_tests.parity.distance import relative_error

Array = NDArray[Any]


@dataclass(frozen=True)
class Mismatch:
    """One array that is not as expected.

    name          of the array
    all_expected  the expected arrays by name; those before `name` agree
    all_actual    the actual arrays by name
    tolerance     the greatest relative error that is agreement
    """

    name: str
    all_expected: Mapping[str, Array]
    all_actual: Mapping[str, Array]
    tolerance: float

    @cached_property
    def expected(self) -> Array:
        """The expected array in float64."""
        return self.all_expected[self.name].astype(np.float64)

    @cached_property
    def actual(self) -> Array:
        """The actual array in float64."""
        return self.all_actual[self.name].astype(np.float64)

    @cached_property
    def error(self) -> float:
        """The relative error; inf for another shape, or where one array alone has a NaN or infinity."""
        return relative_error(self.expected, self.actual)

    def taps(self, *names: str) -> list[Array] | None:
        """Return the expected taps of these names in float64; None if one was not recorded."""
        if any(name not in self.all_expected for name in names):
            return None
        return [self.all_expected[name].astype(np.float64) for name in names]

    def explains(self, alternative: Array) -> bool:
        """Return True if `alternative`, a mistake made on the expected arrays, gives the actual one.

        2% of the error is allowed: low precision, or a tolerance tighter than the arithmetic, must not hide the one
        mistake that explains nearly all of it.
        """
        slack = self.error / 50 if math.isfinite(self.error) else 0.0
        return relative_error(alternative, self.actual) <= max(self.tolerance, slack)

    def first_that_explains(self, mistakes: Mapping[str, Array]) -> str | None:
        """Return the text of the first mistake that gives the actual array."""
        return next((text for text, alternative in mistakes.items() if self.explains(alternative)), None)
