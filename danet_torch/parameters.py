"""The bridge between a live network and canonical tensors: a table of leaves, and no table of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np
import torch
from torch import Tensor, nn

from danet_common.checkpoint import CheckpointError
from danet_common.checkpoint.parameter_layouts import TORCH as LEAVES
from danet_common.checkpoint.prefetch import prefetch
from danet_common.config.tensors import NORM_KINDS, Parameter
from danet_common.numerics.initialisation import drawn


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
    for name, array in prefetch(tensors, leaves):
        set_leaf(leaves[name][1], array)


def own_leaves(module: nn.Module, prefix: str) -> Iterator[tuple[Parameter, Tensor]]:
    """The tensors that a module holds itself, by names that start with `prefix`; a folded BatchNorm holds none."""
    kinds = NORM_KINDS if isinstance(module, nn.SyncBatchNorm) else getattr(module, "kinds", ())
    for kind in kinds:
        leaf = getattr(module, LEAVES[kind], None)
        if leaf is not None:
            yield Parameter(f"{prefix}{LEAVES[kind]}", tuple(leaf.shape), kind), leaf


def fresh_seed() -> int:
    """Return a new seed from the framework's own generator."""
    return int(torch.randint(2**63 - 1, (), device="cpu"))  # `torch.manual_seed` decides it


def get_leaf(leaf: Tensor) -> np.ndarray:
    """One tensor as an array."""
    if hasattr(leaf, "full_tensor"):  # a DTensor; every process of its mesh must take part
        leaf = leaf.full_tensor()
    leaf = leaf.detach().cpu().resolve_neg().contiguous()
    if leaf.dtype == torch.bfloat16:  # NumPy has it through ml_dtypes only
        return leaf.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return leaf.numpy().copy()


@torch.no_grad()
def set_leaf(leaf: Tensor, array: np.ndarray) -> None:
    """Copy one array into its tensor."""
    if array.dtype.isbuiltin != 1:  # bfloat16 and float8 are not NumPy's own, from which torch takes arrays
        array = array.astype(np.float32)
    source = torch.from_numpy(np.array(array))
    if hasattr(leaf, "device_mesh"):  # every process of its mesh must take part
        from torch.distributed.tensor import DTensor, distribute_tensor

        assert isinstance(leaf, DTensor)
        source = distribute_tensor(source.to(leaf.device), leaf.device_mesh, leaf.placements)
    leaf.copy_(source)
