"""The choice of how a network computes: the layers and functions that its modules are built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from danet_common.numerics.precision import FLOAT32, Precision

Definition = Callable[..., Any]  # such as attention.softmax_attention: (query, key, value, record) -> output
ModuleClass = Any  # class of a residual block or a context module


def as_written(definition: Any) -> Any:
    """Return a class or a function as it is."""
    return definition


@dataclass(frozen=True)
class LayerSet:
    """The layers and functions that a network's modules are built from; they decide how it computes, not what.

    conv       makes a convolution: (in_channels, out_channels, kernel_size, *, stride, dilation, bias)
    norm       makes the normalisation after a convolution: (channels)
    block      class of a residual block -> the class to build, perhaps one with a faster sum
    remat      class of a residual block or a context module -> the class to build, under activation checkpointing
    attention  definition of attention -> a function that computes the same: (query, key, value, record)
    name       of the set: see danet_common.config.layer_names
    precision  dtypes of the weights, the activations and the sums
    trainable  False if a network of these layers cannot be trained or saved: its tensors are not a checkpoint's
    """

    conv: Callable[..., Any]
    norm: Callable[[int], Any]
    name: str = "plain"
    precision: Precision = FLOAT32
    block: Callable[[ModuleClass], ModuleClass] = as_written
    remat: Callable[[ModuleClass], ModuleClass] = as_written
    attention: Callable[[Definition], Definition] = as_written
    trainable: bool = True
