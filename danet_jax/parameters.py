"""The bridge between a live network and canonical tensors; `danet_common.checkpoint.tensor_access` does the rest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import jax
import numpy as np
from flax import nnx

from danet_common.checkpoint import CheckpointError
from danet_common.checkpoint.parameter_layouts import FLAX, contiguous
from danet_common.checkpoint.tensor_access import TensorAccess, own_kinds
from danet_common.config.tensors import CONV_KINDS, Kind

SEEDS = itertools.count()


def modules(model: nnx.Module) -> Iterator[tuple[str, nnx.Module]]:
    """Yield the module and all within it, each with the start of its tensors' names."""
    for path, module in nnx.iter_modules(model):
        yield "".join(f"{part}." for part in path), module


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


def kinds(module: nnx.Module) -> tuple[Kind, ...]:
    """Return the kinds of a module's own tensors, also where a caller has put a layer of the framework in its place."""
    return CONV_KINDS if isinstance(module, nnx.Conv) else own_kinds(module)


access = TensorAccess(FLAX, modules, get_leaf, set_leaf, kinds)
named_parameters, initialise, network_in = access.named_parameters, access.initialise, access.network_in
get_tensors, set_tensors = access.get_tensors, access.set_tensors
