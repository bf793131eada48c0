"""Names of tensors and layouts of kernels in each framework.

A module's path is the same everywhere (`backbone.layer1.0.conv1`). Only the last word differs, by the
kind of the tensor, and kernels are OIHW in torch and HWIO in Keras and Flax.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from danet_common.config.tensors import Kind, Parameter

TORCH: Mapping[Kind, str] = {
    "kernel": "weight",
    "bias": "bias",
    "scale": "weight",
    "shift": "bias",
    "mean": "running_mean",
    "variance": "running_var",
    "count": "num_batches_tracked",
    "gamma": "gamma",
    "gain": "gain",
}
KERAS: Mapping[Kind, str] = {
    **TORCH,
    "kernel": "kernel",
    "scale": "gamma",
    "shift": "beta",
    "mean": "moving_mean",
    "variance": "moving_variance",
}
FLAX: Mapping[Kind, str] = {**TORCH, "kernel": "kernel", "scale": "scale", "mean": "mean", "variance": "var"}


def native_name(parameter: Parameter, leaves: Mapping[Kind, str]) -> str:
    """Return the tensor's dotted name in a framework with these last words."""
    module, _, _ = parameter.name.rpartition(".")
    return f"{module}.{leaves[parameter.kind]}"


def to_channels_last(parameter: Parameter, array: np.ndarray) -> np.ndarray:
    """Return a view of a canonical array in the layout of Keras and Flax: kernels OIHW -> HWIO."""
    return array.transpose(2, 3, 1, 0) if parameter.kind == "kernel" and array.ndim == 4 else array


def from_channels_last(parameter: Parameter, array: np.ndarray) -> np.ndarray:
    """Return a view in the canonical layout: kernels HWIO -> OIHW."""
    return array.transpose(3, 2, 0, 1) if parameter.kind == "kernel" and array.ndim == 4 else array


def contiguous(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a copy in C order; a kernel is copied some output channels at a time, which stay in the cache."""
    copy = np.empty(array.shape, dtype)
    if array.ndim == 0 or array.flags.c_contiguous:
        copy[...] = array
        return copy
    for first in range(0, array.shape[-1], 16):
        copy[..., first : first + 16] = array[..., first : first + 16]
    return copy
