"""The bridge between a live network and canonical tensors; `danet_common.checkpoint.tensor_access` does the rest."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import torch
from torch import Tensor, nn

from danet_common.checkpoint.parameter_layouts import TORCH
from danet_common.checkpoint.tensor_access import TensorAccess, own_kinds
from danet_common.config.tensors import CONV_KINDS, NORM_KINDS, Kind

# Attributes in which PyTorch's wrappers keep a module: of `torch.compile`, of data parallelism and averages, of FSDP
# and of activation checkpointing.
WRAPPED = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the module and all within it, each with the start of its tensors' names."""
    for path, module in model.named_modules():
        if WRAPPED.isdisjoint(name for name, _ in module.named_children()):
            yield "".join(f"{part}." for part in path.split(".") if part and part not in WRAPPED), module


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


def kinds(module: nn.Module) -> tuple[Kind, ...]:
    """Return the kinds of a module's own tensors, also where a caller has put a layer of the framework in its place."""
    if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
        return NORM_KINDS
    return CONV_KINDS if isinstance(module, nn.Conv2d) else own_kinds(module)


access = TensorAccess(TORCH, modules, get_leaf, set_leaf, kinds)
named_parameters, initialise, network_in = access.named_parameters, access.initialise, access.network_in
get_tensors, set_tensors = access.get_tensors, access.set_tensors
