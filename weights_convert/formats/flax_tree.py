"""The tree of a Flax network: nested dictionaries by module path, with Flax's leaves and kernels HWIO.

It is what `nnx.to_pure_dict(nnx.state(model, (nnx.Param, nnx.BatchStat)))` gives, with the indices of lists
as texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from danet_common import CheckpointError, DANetConfig, parameters
from danet_common.checkpoint import LONGEST_NAME
from danet_common.leaves import FLAX, TORCH, native_name, to_channels_last
from weights_convert.contents import Contents

COLLECTIONS = ("params", "batch_stats")  # a word of each path, with those who keep them apart
OF_COLLECTION = re.compile(rf"(.+)_({'|'.join(COLLECTIONS)})")  # ema_params, ema_batch_stats: two of one set
VALUE = ("value",)  # the last word, in a saved nnx.State
MOST_OTHERS = 10_000  # leaves of a tree that are no arrays: steps, rates, names
RANDOM_STATE = "dropout"  # the module whose state is its random stream, which is no part of the network
CANONICAL_LEAVES = {flax: TORCH[kind] for kind, flax in FLAX.items()}


def flat(tree: Any) -> dict[tuple[str, ...], Any]:
    """Return a tree's leaves by their paths: arrays, and whatever else is there.

    Raises CheckpointError for a path that is too long, and for far more leaves that are no arrays than a trainer keeps.
    """
    leaves: dict[tuple[str, ...], Any] = {}
    others = 0
    waiting: list[tuple[tuple[str, ...], Any]] = [((), {"": tree} if not isinstance(tree, dict | list) else tree)]
    while waiting:
        path, branch = waiting.pop()
        if sum(map(len, path)) > LONGEST_NAME:  # joined, one long key would be copied for every leaf below it
            raise CheckpointError(f"a path of {len(path)} keys that is too long; the file is damaged")
        for key, value in branch.items() if isinstance(branch, dict) else enumerate(branch):
            if isinstance(value, dict | list):
                if value:
                    waiting.append(((*path, str(key)), value))
            elif value is not None:
                leaves[(*path, str(key))] = value
                others += not isinstance(value, np.ndarray)
                if others > MOST_OTHERS:
                    raise CheckpointError(f"more than {MOST_OTHERS} leaves are no arrays; no checkpoint has so many")
    return leaves


def from_leaves(leaves: Mapping[tuple[str, ...], Any]) -> Contents:
    """The tensors under canonical names and in canonical layout. Raises CheckpointError where two are the same.

    In a tree with collections, what lies outside them is beside the networks and in none.
    """
    tensors: dict[str, np.ndarray] = {}
    others: dict[str, str] = {}
    holders: dict[str, str] = {}
    left_out = 0
    if any(sum(map(len, path)) > LONGEST_NAME for path in leaves):
        raise CheckpointError("a path of keys that is too long; the file is damaged")
    apart = any(_in_collections(path) for path in leaves)
    for path, leaf in leaves.items():
        if RANDOM_STATE in path:
            left_out += 1
            continue
        name, holder = _canonical(path)
        if name in holders:
            raise CheckpointError(f"the tensor {name} is there twice")
        holders[name] = f"{name}." if apart and not _in_collections(path) else holder
        if isinstance(leaf, np.ndarray):
            tensors[name] = leaf.transpose(3, 2, 0, 1) if _is_kernel(path) and leaf.ndim == 4 else leaf
        else:
            others[name] = f"a {type(leaf).__name__}"
    notes = (f"left out: {left_out} tensors of dropout's random state",) if left_out else ()
    return Contents(tensors=tensors, others=others, holders=holders, notes=notes)


def to_leaves(config: DANetConfig, tensors: Mapping[str, np.ndarray]) -> dict[tuple[str, ...], np.ndarray]:
    """Views of canonical tensors by their paths in the tree, in its layout."""
    return {
        tuple(native_name(parameter, FLAX).split(".")): to_channels_last(parameter, tensors[name])
        for name, parameter in parameters(config).items()
    }


def _in_collections(path: tuple[str, ...]) -> bool:
    return any(part in COLLECTIONS or OF_COLLECTION.fullmatch(part) for part in path)


def _is_kernel(path: tuple[str, ...]) -> bool:
    return path[-2:] == (FLAX["kernel"], *VALUE) or path[-1:] == (FLAX["kernel"],)


def _canonical(path: tuple[str, ...]) -> tuple[str, str]:
    """The name of a leaf without the collection, and how the names of that collection begin."""
    parts: list[str] = []
    holder = ""
    for part in path[:-1] if path[-1:] == VALUE else path:
        named = OF_COLLECTION.fullmatch(part)
        if named:
            parts.append(named[1])
        elif part not in COLLECTIONS:
            parts.append(part)
            continue
        holder = "".join(f"{part}." for part in parts)
    leaf = parts[-1] if parts else ""
    return ".".join((*parts[:-1], CANONICAL_LEAVES.get(leaf, leaf))), holder
