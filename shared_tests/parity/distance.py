"""How far an array is from the truth: absolute, relative to the truth's largest value, and in ULPs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Distance:
    """Distances over all finite values.

    max_abs   largest absolute difference
    relative  max_abs / largest absolute value of the truth; inf where the truth is all zero and the other is not
    max_ulp   largest distance in units in the last place of the candidate's dtype, after rounding the truth
              to it; None for a dtype that has none
    stray     how many NaNs and infinities are not matched by the same value in the other array
    """

    max_abs: float
    relative: float
    max_ulp: int | None
    stray: int


def distance(truth: NDArray[Any], candidate: NDArray[Any]) -> Distance:
    """Distance between two arrays of one shape. Raises ValueError for two shapes."""
    if truth.shape != candidate.shape:
        raise ValueError(f"the shapes differ: {truth.shape} and {candidate.shape}")
    wide, other = truth.astype(np.float64), candidate.astype(np.float64)
    finite = np.isfinite(wide) & np.isfinite(other)
    matched = (wide == other) | (np.isnan(wide) & np.isnan(other))
    stray = int(np.count_nonzero(~finite & ~matched))
    if not finite.any():
        return Distance(0.0, 0.0, 0, stray)
    with np.errstate(over="ignore"):  # the largest and the least float64 are an infinity apart
        max_abs = float(np.abs(wide[finite] - other[finite]).max())
    largest = float(np.abs(wide[finite]).max())
    relative = max_abs / largest if largest else (np.inf if max_abs else 0.0)
    return Distance(max_abs, relative, max_ulp(wide[finite], candidate[finite]), stray)


def relative_error(truth: NDArray[Any], candidate: NDArray[Any]) -> float:
    """`distance(...).relative`, and inf where the shapes differ or a NaN or infinity is not matched."""
    if truth.shape != candidate.shape:
        return np.inf
    found = distance(truth, candidate)
    return np.inf if found.stray else found.relative


def max_ulp(truth: NDArray[Any], candidate: NDArray[Any]) -> int | None:
    """How many representable numbers of the candidate's dtype lie between them at most; finite values only.

    float16, float32, float64 and bfloat16 (of ml_dtypes); None for any other dtype.
    """
    if candidate.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
        return None
    # A difference of two ordinals needs 65 bits; modulo 2**64, greater minus smaller is right all the same.
    with np.errstate(over="ignore"):  # rounding to float16 may overflow
        one, other = _ordinal(truth.astype(candidate.dtype)), _ordinal(candidate)
    return int((np.maximum(one, other).view(np.uint64) - np.minimum(one, other).view(np.uint64)).max())


def _ordinal(array: NDArray[Any]) -> NDArray[np.int64]:
    """Signed integers in the order of the floats, one apart for neighbours; both zeros are 0."""
    width = array.dtype.itemsize
    bits = array.view(f"i{width}").astype(np.int64)
    magnitude = bits & np.int64(2 ** (8 * width - 1) - 1)
    return np.where(bits < 0, -magnitude, magnitude)
