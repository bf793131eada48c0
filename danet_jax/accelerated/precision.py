"""Dtype of a pass: what goes into a network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax import Array
from jax import numpy as jnp

from danet_common.config.former_arguments import raise_if_renamed

T = TypeVar("T")


def cast_input(call: Callable[..., T]) -> Callable[..., T]:
    """Decorate the call of a network: its pixels come in the network's dtype.

    That is the compute dtype; the kernels' own where a caller has cast the network, by a map over its state.
    """

    @functools.wraps(call)
    def cast_call(network: Any, x: Array, *arguments: Any, **named: Any) -> T:
        raise_if_renamed(named)
        with jax.numpy_rank_promotion("allow"):  # factors of channels broadcast over pixels
            return call(network, jnp.asarray(x, input_dtype(network)), *arguments, **named)

    return cast_call


def input_dtype(network: Any) -> Any:
    """Return the dtype in which a network computes."""
    stem, precision = network.backbone.conv1, network.layer_set.precision
    kernels = getattr(stem, "conv1", stem).kernel.dtype  # of a deep stem, or of one convolution
    return kernels if kernels != precision.param_dtype else precision.compute_dtype


def require_dtype(dtype: str) -> None:
    """Raise ValueError where JAX would quietly compute in another dtype."""
    if jax.dtypes.canonicalize_dtype(dtype).name != dtype:
        raise ValueError('float64 needs 64-bit JAX: jax.config.update("jax_enable_x64", True) before the first use')
