"""Activation checkpointing: the backward pass computes a module again, so that only the module's input is kept."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx
from jax import Array
from jaxtyping import Float

from danet_common.config.layer_set import ModuleClass
from danet_common.numerics.taps import NO_TAPS, Taps
from danet_jax.accelerated.subclasses import subclass_of

Kept = tuple[nnx.State, nnx.State, Array]


def remat(kind: ModuleClass) -> ModuleClass:
    """Return a subclass of a module's class that is computed again in the backward pass.

    The running statistics move once. With taps the pass keeps everything.
    """
    return subclass_of(kind, rematerialise)


def rematerialise(
    kind: Any, module: nnx.Module, x: Float[Array, "b h w c"], taps: Taps = NO_TAPS
) -> Float[Array, "b p q d"]:
    """Return what a module makes of `x`; its gradient keeps `x` alone."""
    if taps.names:
        tapped: Array = kind.__call__(module, x, taps)
        return tapped
    graph, state = nnx.split(module)
    weights, rest = nnx.split_state(state, nnx.Param, ...)

    def call(weights: nnx.State, rest: nnx.State, x: Array) -> tuple[Array, nnx.State]:
        copy = nnx.merge(graph, weights, rest, copy=True)  # these may move again
        with jax.numpy_rank_promotion("allow"):  # the gradient calls this outside the network's own call
            return kind.__call__(copy, x), nnx.state(copy, nnx.Not(nnx.Param))

    def forward(weights: nnx.State, rest: nnx.State, x: Array) -> tuple[tuple[Array, nnx.State], Kept]:
        return call(weights, rest, x), (weights, rest, x)

    def backward(kept: Kept, cotangents: tuple[Array, nnx.State]) -> tuple[nnx.State, None, Array]:
        weights, rest, x = kept
        _, pullback = jax.vjp(lambda weights, x: call(weights, rest, x)[0], weights, depends_on(x, cotangents[0]))
        of_weights, of_x = pullback(cotangents[0])
        return of_weights, None, of_x

    again = jax.custom_vjp(call)
    again.defvjp(forward, backward)
    out, moved = again(weights, rest, x)
    nnx.update(module, moved)
    return out


def depends_on(x: Float[Array, "b h w c"], cotangent: Float[Array, "b p q d"]) -> Float[Array, "b h w c"]:
    """Return `x` as a value that depends on a cotangent; else XLA would find that it has the module's output already.

    On a CPU XLA removes `jax.checkpoint`'s barriers before it looks, and so keeps all that was to be computed again.
    """

    def summed(x: Array, cotangent: Array) -> Array:
        first = cotangent[0, 0, 0, 0].astype(x.dtype)
        return x + (first - first)  # zero, but where a number is not finite, and so unknown to a compiler

    def barred(x: Array, cotangent: Array) -> Array:
        return jax.lax.optimization_barrier((x, cotangent))[0]

    return jax.lax.platform_dependent(x, cotangent, cpu=summed, default=barred)
