"""The bridge between a live network and canonical tensors: a table of leaves, and no table of names."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from danet_common.checkpoint import CheckpointError
from danet_common.checkpoint.parameter_layouts import KERAS as LEAVES
from danet_common.checkpoint.parameter_layouts import TORCH, contiguous, from_channels_last, to_channels_last
from danet_common.checkpoint.prefetch import prefetch
from danet_common.config.tensors import Parameter
from danet_common.numerics.initialisation import drawn


def named_parameters(model: keras.layers.Layer) -> Iterator[tuple[Parameter, keras.Variable]]:
    """Every tensor of a module with its canonical name, shape and kind, in the module's order."""
    for path, module in named_modules(model):
        yield from own_leaves(module, "".join(f"{part}." for part in path))


def named_modules(
    module: keras.layers.Layer | list, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], keras.layers.Layer | list]]:
    """The module and all that it holds, with their attribute paths; Keras has no such walk.

    Where Keras is on PyTorch, a layer is one of its modules, which keep the modules within them apart.
    """
    yield path, module
    held = {} if isinstance(module, list) else vars(module)
    children = enumerate(module) if isinstance(module, list) else (held | held.get("_modules", {})).items()
    for name, child in children:
        if isinstance(child, keras.layers.Layer | list) and not str(name).startswith("_"):
            yield from named_modules(child, (*path, str(name)))


def initialise(model: keras.layers.Layer, seed: int = 0) -> None:
    """Draw the weights that training starts from; the same in every framework."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_parameters(model)}
    tensors = drawn({name: parameter for name, (parameter, _) in leaves.items()}, seed)
    for name, (parameter, leaf) in leaves.items():
        set_leaf(leaf, to_channels_last(parameter, tensors[name]))


def get_tensors(model: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Canonical name -> array, in canonical layout and the dtype of the network."""
    return {
        parameter.name: from_channels_last(parameter, get_leaf(leaf)) for parameter, leaf in named_parameters(model)
    }


def set_tensors(model: keras.layers.Layer, tensors: Mapping[str, np.ndarray]) -> None:
    """Fill every tensor of the module, cast to its dtype. Raises CheckpointError unless the names are the same."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_parameters(model)}
    if leaves.keys() != tensors.keys():
        differing = ", ".join(sorted(leaves.keys() ^ tensors.keys()))
        raise CheckpointError(f"the tensors are not those of this module: {differing}")
    for name, array in prefetch(tensors, leaves):
        parameter, leaf = leaves[name]
        set_leaf(leaf, to_channels_last(parameter, array))


def own_leaves(module: keras.layers.Layer | list, prefix: str) -> Iterator[tuple[Parameter, keras.Variable]]:
    """The tensors that a module holds itself, by names that start with `prefix`; a folded BatchNorm holds none."""
    for kind in getattr(module, "kinds", ()):
        leaf = getattr(module, LEAVES[kind], None)
        if leaf is not None:
            shape = tuple(leaf.shape) if kind != "kernel" else tuple(leaf.shape[axis] for axis in (3, 2, 0, 1))
            yield Parameter(f"{prefix}{TORCH[kind]}", shape, kind), leaf


def fresh_seed() -> int:
    """Return a new seed from the framework's own generator."""
    return random.randrange(2**63 - 1)  # as Keras's own layers do: `keras.utils.set_random_seed` decides it


def get_leaf(leaf: keras.Variable) -> np.ndarray:
    """One tensor as an array."""
    array = keras.ops.convert_to_numpy(leaf)
    return array.astype(np.int64) if array.dtype == np.int32 else array  # counters: JAX holds 32 bits


def set_leaf(leaf: keras.Variable, array: np.ndarray) -> None:
    """Copy one array into its tensor."""
    if array.shape != tuple(leaf.shape):
        raise CheckpointError(f"a tensor of shape {array.shape} does not fit one of shape {tuple(leaf.shape)}")
    leaf.assign(contiguous(array, np.dtype(keras.backend.standardize_dtype(leaf.dtype))))
