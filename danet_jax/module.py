"""What every module with tensors of its own is made of: their kinds, their initial values, and arrays in and out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar

import jax
import numpy as np
from flax import nnx

from danet_common.checkpoint import CheckpointError
from danet_common.drawing import current_part, is_postponed
from danet_common.initialisation import drawn
from danet_common.leaves import FLAX as LEAVES
from danet_common.leaves import TORCH, contiguous, to_channels_last
from danet_common.parameters import Kind, Parameter

SEEDS = itertools.count()


class Module(nnx.Module):
    """A module with tensors of its own.

    kinds  of those tensors; all others are in modules within
    part   of the network that it stands in, as the start of its tensors' names; it decides their distribution
    """

    kinds: ClassVar[tuple[Kind, ...]] = ()

    def __init__(self) -> None:
        self.part = current_part()

    def reset_parameters(self) -> None:
        """Draw its own tensors anew, by the distribution that they start with in the network.

        Does nothing within `danet_common.drawing.postponed`.
        """
        leaves = list(own_leaves(self, self.part))
        if leaves and not is_postponed():
            tensors = drawn({parameter.name: parameter for parameter, _ in leaves}, fresh_seed())
            for parameter, leaf in leaves:
                set_leaf(leaf, to_channels_last(parameter, tensors[parameter.name]))


def own_leaves(module: nnx.Module, prefix: str) -> Iterator[tuple[Parameter, nnx.Variable]]:
    """The tensors that a module holds itself, by names that start with `prefix`; a folded BatchNorm holds none."""
    for kind in getattr(module, "kinds", ()):
        leaf = getattr(module, LEAVES[kind], None)
        if leaf is not None:
            shape = tuple(leaf.shape) if kind != "kernel" else tuple(leaf.shape[axis] for axis in (3, 2, 0, 1))
            yield Parameter(f"{prefix}{TORCH[kind]}", shape, kind), leaf


def fresh_seed() -> int:
    """Return a new seed from the framework's own generator."""
    return next(SEEDS)  # JAX has no generator that all share


def get_leaf(leaf: nnx.Variable) -> np.ndarray:
    """One tensor as an array."""
    array = np.asarray(leaf[...])
    return array.astype(np.int64) if array.dtype == np.int32 else array  # counters: JAX holds 32 bits


def set_leaf(leaf: nnx.Variable, array: np.ndarray) -> None:
    """Copy one array into its tensor."""
    if array.shape != leaf.shape:
        raise CheckpointError(f"a tensor of shape {array.shape} does not fit one of shape {leaf.shape}")
    leaf.set_value(jax.device_put(contiguous(array, leaf.dtype)))  # which compiles nothing
