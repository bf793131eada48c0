"""Activation checkpointing: the gradient computes a module again, so that only the module's input is kept."""

from __future__ import annotations

import contextlib
import functools
import itertools

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor

from danet_common.config.layer_set import ModuleClass
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_tf.module import Module


@functools.cache
def remat(kind: ModuleClass) -> ModuleClass:
    """Return a subclass of a module's class that the gradient computes again; tensors keep their names.

    The running statistics move once. With taps the pass keeps everything.
    """

    class Remat(kind):
        def call(
            self, x: Tensor, taps: Taps = NO_TAPS, training: bool = False, as_written: bool = False
        ) -> Float[Tensor, "b p q d"]:
            if taps.names:
                return kind.call(self, x, taps)
            return kind.call(self, x) if as_written else rematerialise(self, x, training)

    Remat.__name__ = Remat.__qualname__ = kind.__name__  # by which Keras names what it writes
    Remat.__module__, Remat.__doc__ = kind.__module__, kind.__doc__
    return Remat


def rematerialise(module: Module, x: Float[Tensor, "b h w c"], training: bool) -> Float[Tensor, "b p q d"]:
    """Return what such a module makes of `x` as it is written; the gradient computes all that leads to it again."""
    if keras.backend.backend() == "jax":
        return recomputed_by_jax(module, x, training)
    passes = itertools.count()

    def call(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q d"]:
        with contextlib.nullcontext() if next(passes) == 0 else keras.StatelessScope():  # which keeps what moves
            return module(x, training=training, as_written=True)  # the gradient asks outside of the network's call

    return keras.remat(call)(x)


def recomputed_by_jax(module: Module, x: Float[Tensor, "b h w c"], training: bool) -> Float[Tensor, "b p q d"]:
    """The same, where what is computed again may assign to no variable: running statistics come out as values."""
    held, moving = [(variable, variable.value) for variable in module.variables], module.non_trainable_variables

    def call(x: Float[Tensor, "b h w c"]) -> tuple[Float[Tensor, "b p q d"], list[Tensor]]:
        with keras.StatelessScope(held) as scope:
            out = module(x, training=training, as_written=True)
        return out, [scope.get_current_value(variable) for variable in moving]

    out, values = keras.remat(call)(x)
    for variable, value in zip(moving, values, strict=True):
        variable.assign(value)
    return out
