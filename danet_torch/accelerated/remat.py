"""Activation checkpointing: the backward pass computes a module again, so that only the module's input is kept."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from danet_common.config.layer_set import ModuleClass
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_torch.accelerated.transforms import is_transformed


@functools.cache
def remat(kind: ModuleClass) -> ModuleClass:
    """Return a subclass of a module's class that is computed again in the backward pass; parameters keep their names.

    The running statistics move once. With taps, in an exported or traced program and under `torch.func`, the pass
    keeps everything.
    """

    class Remat(kind):
        def forward(self, x: Tensor, taps: Taps = NO_TAPS) -> Tensor:
            out: Tensor = kind.forward(self, x, taps) if taps.names else rematerialise(self, kind, x)
            return out

        def __reduce__(self) -> tuple[Any, ...]:
            return new_remat, (kind,), self.__dict__

    Remat.__name__ = Remat.__qualname__ = kind.__name__
    Remat.__doc__ = kind.__doc__
    return Remat


def new_remat(kind: ModuleClass) -> nn.Module:
    """Return an empty module of such a subclass, which a pickle fills."""
    module: nn.Module = nn.Module.__new__(remat(kind))
    return module


def rematerialise(module: nn.Module, kind: type[nn.Module], x: Tensor) -> Tensor:
    """Return what `kind.forward` makes of `x`."""
    if torch.compiler.is_exporting() or torch.jit.is_tracing() or is_transformed(x, *module.parameters()):
        return kind.forward(module, x)  # they know no saved tensors of a caller's
    if torch.compiler.is_compiling():  # which moves the running statistics once by itself
        return checkpoint(kind.forward, module, x, use_reentrant=False)

    def contexts() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), buffers_kept(module)  # of the forward pass, and of the second one

    return checkpoint(kind.forward, module, x, use_reentrant=False, context_fn=contexts)


@contextlib.contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Give a module copies of its buffers, which may move, and its own ones again afterwards."""
    owned = [(part, name, buffer) for part in module.modules() for name, buffer in part.named_buffers(recurse=False)]
    for part, name, buffer in owned:
        setattr(part, name, buffer.clone())
    try:
        yield
    finally:
        for part, name, buffer in owned:
            setattr(part, name, buffer)
