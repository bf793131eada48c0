"""The tree of a Flax network: nested dictionaries by module path, with Flax's leaves and kernels HWIO.

It is what `nnx.to_pure_dict(nnx.state(model, (nnx.Param, nnx.BatchStat)))` gives, with the indices of lists
as texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from danet_common import CheckpointError, DANetConfig, parameters
from danet_common.checkpoint import LONGEST_NAME
from danet_common.leaves import FLAX, TORCH, native_name, to_channels_last
from weights_convert.contents import Contents

COLLECTIONS = (("params",), ("batch_stats",))  # the first word of each path, with those who keep them apart
VALUE = ("value",)  # the last word, in a saved nnx.State
RANDOM_STATE = "dropout"  # the module whose state is its random stream, which is no part of the network
CANONICAL_LEAVES = {flax: TORCH[kind] for kind, flax in FLAX.items()}


def flat(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], np.ndarray]:
    """A tree's arrays by their paths. Raises CheckpointError for a leaf that is none."""
    if isinstance(tree, np.ndarray):
        return {path: tree}
    if not isinstance(tree, Mapping | list | None):
        raise CheckpointError(f"the leaf {'.'.join(path)[:LONGEST_NAME]} is a {type(tree).__name__}, not an array")
    branches = tree.items() if isinstance(tree, Mapping) else enumerate(tree or ())
    return {leaf: array for key, branch in branches for leaf, array in flat(branch, (*path, str(key))).items()}


def from_leaves(leaves: Mapping[tuple[str, ...], np.ndarray]) -> Contents:
    """The tensors under canonical names and in canonical layout. Raises CheckpointError where two are the same."""
    tensors: dict[str, np.ndarray] = {}
    left_out = 0
    for path, array in leaves.items():
        if RANDOM_STATE in path:
            left_out += 1
            continue
        if sum(map(len, path)) > LONGEST_NAME:  # joined, one long key would be copied for every leaf below it
            raise CheckpointError(f"a path of {len(path)} keys that is too long; the file is damaged")
        name, tensor = _canonical(path, array)
        if name in tensors:
            raise CheckpointError(f"the tensor {name} is there twice")
        tensors[name] = tensor
    notes = (f"left out: {left_out} tensors of dropout's random state",) if left_out else ()
    return Contents(tensors=tensors, notes=notes)


def to_leaves(config: DANetConfig, tensors: Mapping[str, np.ndarray]) -> dict[tuple[str, ...], np.ndarray]:
    """Views of canonical tensors by their paths in the tree, in its layout."""
    return {
        tuple(native_name(parameter, FLAX).split(".")): to_channels_last(parameter, tensors[name])
        for name, parameter in parameters(config).items()
    }


def _canonical(path: tuple[str, ...], array: np.ndarray) -> tuple[str, np.ndarray]:
    if path[:1] in COLLECTIONS:
        path = path[1:]
    if path[-1:] == VALUE:
        path = path[:-1]
    *module, leaf = path or ("",)
    name = ".".join((*module, CANONICAL_LEAVES.get(leaf, leaf)))
    return name, array.transpose(3, 2, 0, 1) if leaf == FLAX["kernel"] and array.ndim == 4 else array
