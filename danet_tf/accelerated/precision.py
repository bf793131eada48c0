"""Dtypes of a pass: what goes into a network, and means that other backends than TensorFlow would round."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from keras import KerasTensor as Tensor
from keras import ops

from danet_common.config.former_arguments import raise_if_renamed

T = TypeVar("T")


def cast_input(call: Callable[..., T]) -> Callable[..., T]:
    """Decorate the forward pass of a network: its pixels come in the dtype that the network computes in.

    Its signature takes further keyword arguments: Keras, which reads it before a pass, would not let them come so far
    that a former one is told its new name.
    """

    @functools.wraps(call)
    def cast(network: Any, x: Tensor, *arguments: Any, **named: Any) -> T:
        raise_if_renamed(named)
        return call(network, ops.cast(x, network.layer_set.precision.compute_dtype), *arguments, **named)

    signature = inspect.signature(call)
    former = inspect.Parameter("former", inspect.Parameter.VAR_KEYWORD)
    vars(cast)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), former])
    return cast


def mean_of(x: Tensor, axes: tuple[int, ...], keepdims: bool = False) -> Tensor:
    """The mean over some axes in the dtype of `x`; Keras's own rounds float64 to float32 on JAX and PyTorch."""
    shape, count = ops.shape(x), 1
    for axis in axes:
        count *= shape[axis]
    return ops.sum(x, axes, keepdims=keepdims) / ops.cast(count, x.dtype)


def larger_of(first: Tensor | int, second: Tensor | int) -> Tensor:
    """The larger of two sizes in 32 bits; Keras's own has as many bits as its floatx."""
    return ops.maximum(ops.cast(first, "int32"), ops.cast(second, "int32"))
