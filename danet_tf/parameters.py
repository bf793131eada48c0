"""The bridge between a live network and canonical tensors; `danet_common.checkpoint.tensor_access` does the rest."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from danet_common.checkpoint import CheckpointError
from danet_common.checkpoint.parameter_layouts import KERAS, contiguous
from danet_common.checkpoint.tensor_access import TensorAccess, own_kinds
from danet_common.config.tensors import CONV_KINDS, Kind


def named_modules(
    module: keras.layers.Layer | list, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], keras.layers.Layer | list]]:
    """The module and all that it holds, with their attribute paths; Keras has no such walk.

    Where Keras is on PyTorch, a layer is one of its modules, which keep the modules within them apart.
    """
    yield path, module
    attributes = getattr(module, "__dict__", {})
    if isinstance(module, list):
        children: Iterable[tuple[Any, Any]] = enumerate(module)
    elif isinstance(module, keras.Model) and "layer_set" not in attributes:  # a caller's, around a network
        children = ((layer.name, layer) for layer in module.layers)
    else:
        children = (attributes | attributes.get("_modules", {})).items()
    for name, child in children:
        if isinstance(child, keras.layers.Layer | list) and not str(name).startswith("_"):
            yield from named_modules(child, (*path, str(name)))


def modules(model: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer | list]]:
    """Yield the module and all within it, each with the start of its tensors' names."""
    for path, module in named_modules(model):
        yield "".join(f"{part}." for part in path), module


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


def kinds(module: keras.layers.Layer | list) -> tuple[Kind, ...]:
    """Return the kinds of a module's own tensors, also where a caller has put a layer of the framework in its place."""
    return CONV_KINDS if isinstance(module, keras.layers.Conv2D) else own_kinds(module)


access = TensorAccess(KERAS, modules, get_leaf, set_leaf, kinds)
named_parameters, initialise, network_in = access.named_parameters, access.initialise, access.network_in
get_tensors, set_tensors = access.get_tensors, access.set_tensors
