"""Cast a checkpoint's floating-point tensors to another dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from danet_common import Checkpoint, CheckpointError, parameters

DTYPES: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}


def cast(checkpoint: Checkpoint, dtype: str) -> Checkpoint:
    """Return the checkpoint in another dtype.

    With a 16-bit dtype, BatchNorm tensors and gammas become float32, as in the networks: 16 bits are too few for
    them. Raise CheckpointError for an unknown dtype, or if a finite value would become infinite.
    """
    if dtype not in DTYPES:
        raise CheckpointError(f"unknown dtype {dtype!r}; known: {', '.join(DTYPES)}")
    table, tensors = parameters(checkpoint.config), {}
    for name, array in checkpoint.tensors.items():
        parameter, target = table[name], DTYPES[dtype]
        if (parameter.is_norm or parameter.is_factor) and target.itemsize < 4:
            target = DTYPES["float32"]
        tensors[name] = array if parameter.kind == "count" else fit(name, array, target)
    return Checkpoint(checkpoint.config, tensors, checkpoint.extra_tensors, {**checkpoint.source, "dtype": dtype})


def fit(name: str, array: np.ndarray, dtype: npt.DTypeLike) -> np.ndarray:
    """Return a tensor in another dtype; no copy if it has that dtype.

    Raise CheckpointError if a finite value would become infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(dtype, copy=False)
    # Only a wider dtype holds every value: bfloat16 has larger values than float16, which is as wide.
    widened = result is array or result.dtype.itemsize > array.dtype.itemsize or array.dtype.kind in "iu"
    if not widened and np.isfinite(array[~np.isfinite(result)]).any():
        raise CheckpointError(f"cannot cast {name}: it has values too large for {result.dtype}. Choose a wider dtype")
    return result
