"""The program transforms of PyTorch that operators of our own cannot take part in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad


def is_transformed(*tensors: Tensor) -> bool:
    """Return True where `torch.func` or forward-mode differentiation follows a tensor.

    PyTorch has no rule by which these could go through `torch.library.custom_op`: in 2.13 `torch.func.grad` raises an
    error, and `torch.func.jvp` drops the tangent. Callers then compute by ordinary operators. Dynamo traces ordinary
    tensors, and cannot read the rest of this function.
    """
    if torch.compiler.is_dynamo_compiling():
        return False
    return any(
        torch.func.debug_unwrap(tensor) is not tensor or forward_ad.unpack_dual(tensor).tangent is not None
        for tensor in tensors
    )
