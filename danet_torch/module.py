"""What every module with tensors of its own is made of: their kinds, their initial values, and arrays in and out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import torch
from torch import Tensor, nn

from danet_common.drawing import current_part, is_postponed
from danet_common.initialisation import drawn
from danet_common.leaves import TORCH as LEAVES
from danet_common.parameters import NORM_KINDS, Kind, Parameter


class Module(nn.Module):
    """A module with tensors of its own.

    kinds  of those tensors; all others are in modules within
    part   of the network that it stands in, as the start of its tensors' names; it decides their distribution
    """

    kinds: ClassVar[tuple[Kind, ...]] = ()
    part = ""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.part = current_part()
        super().__init__(*arguments, **options)

    def reset_parameters(self) -> None:
        """Draw its own tensors anew, by the distribution that they start with in the network.

        Does nothing within `danet_common.drawing.postponed`.
        """
        leaves = [(parameter, leaf) for parameter, leaf in own_leaves(self, self.part) if not leaf.is_meta]
        if leaves and not is_postponed():
            tensors = drawn({parameter.name: parameter for parameter, _ in leaves}, fresh_seed())
            for parameter, leaf in leaves:
                set_leaf(leaf, tensors[parameter.name])


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
