"""Distance of an actual array from the expected one: absolute, relative to the largest expected value, in ULPs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Distance:
    """Distances over all finite values.

    max_abs               largest absolute difference
    relative              max_abs / largest absolute expected value; inf where only the actual array has other than zero
    max_ulp               largest distance in units in the last place of the actual dtype, after rounding the expected
                          array to it; None for a dtype that has none
    nonfinite_mismatches  number of NaNs and infinities that do not match the same value in the other array
    """

    max_abs: float
    relative: float
    max_ulp: int | None
    nonfinite_mismatches: int


def distance(expected: NDArray[Any], actual: NDArray[Any]) -> Distance:
    """Distance between two arrays of one shape. Raises ValueError for two shapes."""
    if expected.shape != actual.shape:
        raise ValueError(f"the shapes differ: {expected.shape} and {actual.shape}")
    wide, other = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(wide) & np.isfinite(other)
    matched = (wide == other) | (np.isnan(wide) & np.isnan(other))
    nonfinite_mismatches = int(np.count_nonzero(~finite & ~matched))
    if not finite.any():
        return Distance(0.0, 0.0, 0, nonfinite_mismatches)
    with np.errstate(over="ignore"):  # the largest and the least float64 are an infinity apart
        max_abs = float(np.abs(wide[finite] - other[finite]).max())
    largest = float(np.abs(wide[finite]).max())
    relative = max_abs / largest if largest else (np.inf if max_abs else 0.0)
    return Distance(max_abs, relative, max_ulp(wide[finite], actual[finite]), nonfinite_mismatches)


def relative_error(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    """`distance(...).relative`, and inf where the shapes differ or a NaN or infinity is not matched."""
    if expected.shape != actual.shape:
        return np.inf
    measured = distance(expected, actual)
    return np.inf if measured.nonfinite_mismatches else measured.relative


def max_ulp(expected: NDArray[Any], actual: NDArray[Any]) -> int | None:
    """Return the largest number of representable numbers of the actual dtype between them; finite values only.

    float16, float32, float64 and bfloat16 (of ml_dtypes); None for any other dtype.
    """
    if actual.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
        return None
    # A difference of two ordinals needs 65 bits; modulo 2**64, greater minus smaller is right all the same.
    with np.errstate(over="ignore"):  # rounding to float16 may overflow
        one, other = _ordinal(expected.astype(actual.dtype)), _ordinal(actual)
    return int((np.maximum(one, other).view(np.uint64) - np.minimum(one, other).view(np.uint64)).max())


def _ordinal(array: NDArray[Any]) -> NDArray[np.int64]:
    """Signed integers in the order of the floats, one apart for neighbours; both zeros are 0."""
    width = array.dtype.itemsize
    bits = array.view(f"i{width}").astype(np.int64)
    magnitude = bits & np.int64(2 ** (8 * width - 1) - 1)
    return np.where(bits < 0, -magnitude, magnitude)
