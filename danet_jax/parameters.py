"""The bridge between a live network and canonical tensors: a table of leaves, and no table of names."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from flax import nnx

from danet_common.checkpoint import CheckpointError
from danet_common.checkpoint.parameter_layouts import FLAX as LEAVES
from danet_common.checkpoint.parameter_layouts import TORCH, contiguous, from_channels_last, to_channels_last
from danet_common.checkpoint.prefetch import prefetch
from danet_common.config.tensors import Parameter
from danet_common.numerics.initialisation import drawn

SEEDS = itertools.count()


def named_parameters(model: nnx.Module) -> Iterator[tuple[Parameter, nnx.Variable]]:
    """Every tensor of a module with its canonical name, shape and kind, in the module's order."""
    for path, module in nnx.iter_modules(model):
        yield from own_leaves(module, "".join(f"{part}." for part in path))


def initialise(model: nnx.Module, seed: int = 0) -> None:
    """Draw the weights that training starts from; the same in every framework."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_parameters(model)}
    tensors = drawn({name: parameter for name, (parameter, _) in leaves.items()}, seed)
    for name, (parameter, leaf) in leaves.items():
        set_leaf(leaf, to_channels_last(parameter, tensors[name]))


def get_tensors(model: nnx.Module) -> dict[str, np.ndarray]:
    """Canonical name -> array, in canonical layout and the dtype of the network."""
    return {
        parameter.name: from_channels_last(parameter, get_leaf(leaf)) for parameter, leaf in named_parameters(model)
    }


def set_tensors(model: nnx.Module, tensors: Mapping[str, np.ndarray]) -> None:
    """Fill every tensor of the module, cast to its dtype. Raises CheckpointError unless the names are the same."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_parameters(model)}
    if leaves.keys() != tensors.keys():
        differing = ", ".join(sorted(leaves.keys() ^ tensors.keys()))
        raise CheckpointError(f"the tensors are not those of this module: {differing}")
    for name, array in prefetch(tensors, leaves):
        parameter, leaf = leaves[name]
        set_leaf(leaf, to_channels_last(parameter, array))


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
