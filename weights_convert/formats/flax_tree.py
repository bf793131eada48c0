"""Convert between canonical tensors and the tree of a Flax network: nested dictionaries, kernels in HWIO.

The tree is that of `nnx.to_pure_dict(nnx.state(model, (nnx.Param, nnx.BatchStat)))` with list indices as texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from danet_common import CheckpointError, DANetConfig, parameters
from danet_common.checkpoint.canonical import LONGEST_NAME
from danet_common.checkpoint.parameter_layouts import FLAX, TORCH, native_name, to_channels_last
from weights_convert.contents import Contents

COLLECTIONS = ("params", "batch_stats")  # part of a path, for trainers that store them apart
OF_COLLECTION = re.compile(rf"(.+)_({'|'.join(COLLECTIONS)})")  # ema_params and ema_batch_stats are one set
VALUE = ("value",)  # last key of a path in a saved nnx.State
MOST_OTHERS = 10_000  # non-array leaves: steps, rates, names
RANDOM_STATE = "dropout"  # module whose state is a random stream, not a parameter
CANONICAL_LEAVES = {flax: TORCH[kind] for kind, flax in FLAX.items()}


def flat(tree: Any) -> dict[tuple[str, ...], Any]:
    """Return all leaves of a tree by path, arrays and others.

    Raise CheckpointError for more non-array leaves than any trainer stores.
    """
    leaves: dict[tuple[str, ...], Any] = {}
    others = 0
    waiting: list[tuple[tuple[str, ...], Any]] = [((), {"": tree} if not isinstance(tree, dict | list) else tree)]
    while waiting:
        path, branch = waiting.pop()
        for key, value in branch.items() if isinstance(branch, dict) else enumerate(branch):
            if isinstance(value, dict | list):
                if value:
                    waiting.append(((*path, str(key)), value))
            elif value is not None:
                leaves[(*path, str(key))] = value
                others += not isinstance(value, np.ndarray)
                if others > MOST_OTHERS:
                    raise CheckpointError(f"more than {MOST_OTHERS} leaves are not arrays, more than in any checkpoint")
    return leaves


def from_leaves(leaves: Mapping[tuple[str, ...], Any]) -> Contents:
    """Return the tensors in canonical names and layout. Raise CheckpointError if a name occurs twice."""
    tensors: dict[str, np.ndarray] = {}
    others: dict[str, str] = {}
    holders: dict[str, str] = {}
    left_out = 0
    if any(sum(map(len, path)) > LONGEST_NAME for path in leaves):
        raise CheckpointError("a path of keys is too long; the file is damaged")
    for path, leaf in leaves.items():
        if RANDOM_STATE in path:
            left_out += 1
            continue
        name = _canonical(path)
        if name in holders:
            raise CheckpointError(f"tensor {name} occurs twice")
        holders[name] = f"{name.partition('.')[0]}."
        is_kernel = (path[:-1] if path[-1:] == VALUE else path)[-1:] == (FLAX["kernel"],)
        if isinstance(leaf, np.ndarray):
            tensors[name] = leaf.transpose(3, 2, 0, 1) if is_kernel and leaf.ndim == 4 else leaf
        else:
            others[name] = f"a {type(leaf).__name__}"
    notes = (f"left out: {left_out} tensors of dropout's random state",) if left_out else ()
    return Contents(tensors=tensors, others=others, holders=holders, notes=notes)


def from_flat(arrays: Mapping[str, np.ndarray]) -> Contents:
    """Return another program's arrays, whose names may join keys by slashes: a Flax tree, or upstream tensors."""
    paths = {tuple(re.split("[/.]", name)): name for name in arrays}
    if len(paths) < len(arrays):
        raise CheckpointError("two arrays have equal names, one with dots and one with slashes")
    if any(FLAX["kernel"] in path[-2:] for path in paths):
        return from_leaves({path: arrays[name] for path, name in paths.items()})
    if any("/" in name for name in arrays):
        return Contents(tensors={".".join(path): arrays[name] for path, name in paths.items()})
    return Contents(tensors=arrays)


def to_leaves(config: DANetConfig, tensors: Mapping[str, np.ndarray]) -> dict[tuple[str, ...], np.ndarray]:
    """Return views of canonical tensors by tree path, in Flax's layout."""
    return {
        tuple(native_name(parameter, FLAX).split(".")): to_channels_last(parameter, tensors[name])
        for name, parameter in parameters(config).items()
    }


def _canonical(path: tuple[str, ...]) -> str:
    """Return the name of a leaf, without its collection."""
    named = [(OF_COLLECTION.fullmatch(part), part) for part in (path[:-1] if path[-1:] == VALUE else path)]
    *modules, leaf = [match[1] if match else part for match, part in named if part not in COLLECTIONS] or [""]
    return ".".join((*modules, CANONICAL_LEAVES.get(leaf, leaf)))
