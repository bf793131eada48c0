"""The bridge between a live network and canonical tensors: a table of leaves, and no table of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import keras
import numpy as np

from danet_common.checkpoint import CheckpointError
from danet_common.initialisation import drawn
from danet_common.leaves import KERAS as LEAVES
from danet_common.leaves import TORCH, contiguous, from_channels_last, to_channels_last
from danet_common.parameters import Kind, Parameter
from danet_common.reading import read_ahead
from danet_tf.attention import ChannelAttention, PositionAttention
from danet_tf.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_tf.gating_decoder import GatingDecoder
from danet_tf.joint_attention import JointChannelAttention, JointPositionAttention
from danet_tf.layers import BatchNorm, Conv
from danet_tf.self_attention import SelfAttention

# What each module holds itself; every other module only holds modules.
KINDS: Mapping[type, tuple[Kind, ...]] = {
    Conv: ("kernel", "bias"),
    BatchNorm: ("scale", "shift", "mean", "variance", "count"),
    PositionAttention: ("gamma",),
    ChannelAttention: ("gamma",),
    SelfAttention: ("gamma",),
    JointPositionAttention: ("gamma",),
    JointChannelAttention: ("gamma",),
    CompactPositionAttention: ("gamma",),
    CompactChannelAttention: ("gamma",),
    GatingDecoder: ("gain",),
}


def kinds_of(module: keras.layers.Layer | list) -> tuple[Kind, ...]:
    """What a module holds itself; a wrapper, such as torch's `fully_shard`, may have made a subclass of its class."""
    return next((kinds for kind_of_module, kinds in KINDS.items() if isinstance(module, kind_of_module)), ())


def named_leaves(model: keras.layers.Layer) -> Iterator[tuple[Parameter, keras.Variable]]:
    """Every tensor of a module with its canonical name, shape and kind, in the module's order."""
    for path, module in named_modules(model):
        for kind in kinds_of(module):
            leaf = getattr(module, LEAVES[kind], None)  # absent from a folded BatchNorm
            if leaf is not None:
                name = ".".join((*path, TORCH[kind]))
                shape = tuple(leaf.shape) if kind != "kernel" else tuple(leaf.shape[axis] for axis in (3, 2, 0, 1))
                yield Parameter(name, shape, kind), leaf


def named_modules(
    module: keras.layers.Layer | list, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], keras.layers.Layer | list]]:
    """The module and all that it holds, with their attribute paths; Keras has no such walk."""
    yield path, module
    children = enumerate(module) if isinstance(module, list) else vars(module).items()
    for name, child in children:
        if isinstance(child, keras.layers.Layer | list) and not str(name).startswith("_"):
            yield from named_modules(child, (*path, str(name)))


def initialise(model: keras.layers.Layer, seed: int = 0) -> None:
    """Draw the weights that training starts from; the same in every framework."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_leaves(model)}
    tensors = drawn({name: parameter for name, (parameter, _) in leaves.items()}, seed)
    for name, (parameter, leaf) in leaves.items():
        set_leaf(leaf, to_channels_last(parameter, tensors[name]))


def get_tensors(model: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Canonical name -> array, in canonical layout and the dtype of the network."""
    return {parameter.name: from_channels_last(parameter, get_leaf(leaf)) for parameter, leaf in named_leaves(model)}


def set_tensors(model: keras.layers.Layer, tensors: Mapping[str, np.ndarray]) -> None:
    """Fill every tensor of the module, cast to its dtype. Raises CheckpointError unless the names are the same."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_leaves(model)}
    if leaves.keys() != tensors.keys():
        differing = ", ".join(sorted(leaves.keys() ^ tensors.keys()))
        raise CheckpointError(f"the tensors are not those of this module: {differing}")
    for name, array in read_ahead(tensors, leaves):
        parameter, leaf = leaves[name]
        set_leaf(leaf, to_channels_last(parameter, array))


def get_leaf(leaf: keras.Variable) -> np.ndarray:
    """One tensor as an array."""
    array = keras.ops.convert_to_numpy(leaf)
    return array.astype(np.int64) if array.dtype == np.int32 else array  # counters: JAX holds 32 bits


def set_leaf(leaf: keras.Variable, array: np.ndarray) -> None:
    """Copy one array into its tensor."""
    if array.shape != tuple(leaf.shape):
        raise CheckpointError(f"a tensor of shape {array.shape} does not fit one of shape {tuple(leaf.shape)}")
    leaf.assign(contiguous(array, np.dtype(keras.backend.standardize_dtype(leaf.dtype))))
