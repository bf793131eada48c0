"""The bridge between a live network and canonical tensors: a table of leaves, and no table of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import ml_dtypes
import numpy as np
import torch
from torch import Tensor, nn

from danet_common.checkpoint import CheckpointError
from danet_common.initialisation import drawn
from danet_common.leaves import TORCH as LEAVES
from danet_common.parameters import Kind, Parameter
from danet_common.reading import read_ahead
from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_torch.gating_decoder import GatingDecoder
from danet_torch.joint_attention import JointChannelAttention, JointPositionAttention
from danet_torch.layers import BatchNorm, Conv
from danet_torch.self_attention import SelfAttention

# What each module holds itself; every other module only holds modules.
KINDS: Mapping[type, tuple[Kind, ...]] = {
    Conv: ("kernel", "bias"),
    BatchNorm: ("scale", "shift", "mean", "variance", "count"),
    nn.SyncBatchNorm: ("scale", "shift", "mean", "variance", "count"),  # what one becomes on several GPUs
    PositionAttention: ("gamma",),
    ChannelAttention: ("gamma",),
    SelfAttention: ("gamma",),
    JointPositionAttention: ("gamma",),
    JointChannelAttention: ("gamma",),
    CompactPositionAttention: ("gamma",),
    CompactChannelAttention: ("gamma",),
    GatingDecoder: ("gain",),
}


def kinds_of(module: nn.Module) -> tuple[Kind, ...]:
    """What a module holds itself; a wrapper, such as torch's `fully_shard`, may have made a subclass of its class."""
    return next((kinds for kind_of_module, kinds in KINDS.items() if isinstance(module, kind_of_module)), ())


def named_leaves(model: nn.Module) -> Iterator[tuple[Parameter, Tensor]]:
    """Every tensor of a module with its canonical name, shape and kind, in the module's order."""
    for path, module in model.named_modules():
        for kind in kinds_of(module):
            leaf = getattr(module, LEAVES[kind], None)  # absent from a folded BatchNorm
            if leaf is not None:
                name = f"{path}.{LEAVES[kind]}".removeprefix(".")
                yield Parameter(name, tuple(leaf.shape), kind), leaf


def initialise(model: nn.Module, seed: int = 0) -> None:
    """Draw the weights that training starts from; the same in every framework."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_leaves(model)}
    tensors = drawn({name: parameter for name, (parameter, _) in leaves.items()}, seed)
    for name, (_, leaf) in leaves.items():
        set_leaf(leaf, tensors[name])


def get_tensors(model: nn.Module) -> dict[str, np.ndarray]:
    """Canonical name -> array, in canonical layout and the dtype of the network."""
    return {parameter.name: get_leaf(leaf) for parameter, leaf in named_leaves(model)}


def set_tensors(model: nn.Module, tensors: Mapping[str, np.ndarray]) -> None:
    """Fill every tensor of the module, cast to its dtype. Raises CheckpointError unless the names are the same."""
    leaves = {parameter.name: (parameter, leaf) for parameter, leaf in named_leaves(model)}
    if leaves.keys() != tensors.keys():
        differing = ", ".join(sorted(leaves.keys() ^ tensors.keys()))
        raise CheckpointError(f"the tensors are not those of this module: {differing}")
    for name, array in read_ahead(tensors, leaves):
        set_leaf(leaves[name][1], array)


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
    leaf.copy_(torch.from_numpy(np.array(array)))
