"""What a cause is judged on: the arrays where truth and candidate part, and those of the truth before."""

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
class Evidence:
    """Truth and candidate, and the name of the array at which they part."""

    name: str
    truths: Mapping[str, Array]
    candidates: Mapping[str, Array]
    tolerance: float

    @cached_property
    def truth(self) -> Array:
        """The truth where they part, in float64."""
        return self.truths[self.name].astype(np.float64)

    @cached_property
    def candidate(self) -> Array:
        """The candidate where they part, in float64."""
        return self.candidates[self.name].astype(np.float64)

    @cached_property
    def departure(self) -> float:
        """The relative error where they part; inf for another shape or a stray NaN."""
        return relative_error(self.truth, self.candidate)

    def stages(self, *names: str) -> list[Array] | None:
        """The truth's stages of these names in float64; None if one was not recorded."""
        if any(name not in self.truths for name in names):
            return None
        return [self.truths[name].astype(np.float64) for name in names]

    def explains(self, alternative: Array) -> bool:
        """Whether `alternative`, a mistake made on the truth, is what the candidate has.

        A fiftieth of the departure is allowed: low precision, or a tolerance tighter than the arithmetic,
        must not hide the one mistake that explains nearly all of it.
        """
        departure = self.departure
        slack = departure / 50 if math.isfinite(departure) else 0.0
        return relative_error(alternative, self.candidate) <= max(self.tolerance, slack)

    def first_that_explains(self, mistakes: Mapping[str, Array]) -> str | None:
        """The text of the first mistake that gives the candidate."""
        return next((text for text, alternative in mistakes.items() if self.explains(alternative)), None)
