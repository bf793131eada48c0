"""The bridge between a live network and canonical tensors; `danet_common.checkpoint.tensor_access` does the rest."""

from __future__ import annotations

import random
from collections.abc import Iterator

import keras
import numpy as np

from danet_common.checkpoint import CheckpointError
from danet_common.checkpoint.parameter_layouts import KERAS, contiguous
from danet_common.checkpoint.tensor_access import TensorAccess


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


access = TensorAccess(KERAS, modules, get_leaf, set_leaf)
named_parameters, initialise = access.named_parameters, access.initialise
get_tensors, set_tensors = access.get_tensors, access.set_tensors
