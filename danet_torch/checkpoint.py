"""The bridge between a live network and canonical tensors: a table of leaves, and no table of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor, nn

from danet_common.checkpoint import CheckpointError
from danet_common.initialisation import drawn
from danet_common.parameters import Parameter
from danet_common.reading import read_ahead
from danet_torch.module import get_leaf, own_leaves, set_leaf


def named_parameters(model: nn.Module) -> Iterator[tuple[Parameter, Tensor]]:
    """Every tensor of a module with its canonical name, shape and kind, in the module's order."""
    for path, module in model.named_modules():
        yield from own_leaves(module, f"{path}." if path else "")


def initialise(model: nn.Module, seed: int = 0) -> None:
    """Draw the weights that training starts from; the same in every framework."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_parameters(model) if not leaf.is_meta}
    tensors = drawn({name: parameter for name, (parameter, _) in leaves.items()}, seed)
    for name, (_, leaf) in leaves.items():
        set_leaf(leaf, tensors[name])


def get_tensors(model: nn.Module) -> dict[str, np.ndarray]:
    """Canonical name -> array, in canonical layout and the dtype of the network."""
    return {parameter.name: get_leaf(leaf) for parameter, leaf in named_parameters(model)}


def set_tensors(model: nn.Module, tensors: Mapping[str, np.ndarray]) -> None:
    """Fill every tensor of the module, cast to its dtype. Raises CheckpointError unless the names are the same."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_parameters(model)}
    if leaves.keys() != tensors.keys():
        differing = ", ".join(sorted(leaves.keys() ^ tensors.keys()))
        raise CheckpointError(f"the tensors are not those of this module: {differing}")
    for name, array in read_ahead(tensors, leaves):
        set_leaf(leaves[name][1], array)
