"""Attention in memory linear in the positions: chunks of queries, or blocks of queries and keys.

Each computes the numbers of a definition such as `softmax_attention`, whose map has N x M entries. Its gradient
computes each chunk of the map again, so that no map is kept.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common.config.layer_set import Definition
from danet_common.numerics import chunks
from danet_common.numerics.taps import passthrough
from danet_jax.attention import softmax_attention
from danet_jax.primitives import upcast


@dataclass(frozen=True)  # not a closure: equal networks have equal graph definitions, and so share compiled programs
class MemoryEfficientAttention:
    """The same numbers as a definition of attention, without its map; with the map where a tap records it."""

    definition: Definition

    def __call__(
        self,
        query: Float[Array, "b n q"],
        key: Float[Array, "b m q"],
        value: Float[Array, "b m c"],
        record: Callable[[Array], Array] = passthrough,
    ) -> Float[Array, "b n c"]:
        rows = chunks.chunk_rows(key.shape[1], chunks.CHUNK_SIZE)
        if record is not passthrough or rows >= query.shape[1]:
            return self.definition(query, key, value, record)
        query, key = upcast(query), upcast(key)
        if self.definition is softmax_attention:
            return flash_attention(query, key, value, rows, *chunks.flash_block(chunks.CHUNK_SIZE))
        return chunked_attention(self.definition, query, key, value, rows)


def chunked_attention(
    definition: Definition,
    query: Float[Array, "b n q"],
    key: Float[Array, "b m q"],
    value: Float[Array, "b m c"],
    rows: int,
) -> Float[Array, "b n c"]:
    """Attention of so many queries at a time. The gradient computes each chunk again, so that none is kept."""
    batch, positions, channels = query.shape
    padded = jnp.pad(query, ((0, 0), (0, -positions % rows), (0, 0)))
    pieces = jnp.moveaxis(padded.reshape(batch, -1, rows, channels), 1, 0)
    out = jax.lax.map(lambda piece: jax.checkpoint(definition)(piece, key, value), pieces)
    return jnp.moveaxis(out, 0, 1).reshape(batch, -1, value.shape[2])[:, :positions]


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4, 5))
def flash_attention(
    query: Float[Array, "b n q"],
    key: Float[Array, "b m q"],
    value: Float[Array, "b m c"],
    rows: int,
    queries: int,
    keys: int,
) -> Float[Array, "b n c"]:
    """softmax(query @ key) @ value by blocks of so many queries and keys (Dao et al., NeurIPS 2022).

    Products of blocks are faster than products of few queries and all keys. The gradient is that of chunks of `rows`.
    """
    return chunked_attention(functools.partial(online_softmax, keys=keys), query, key, value, queries)


@flash_attention.defjvp
def flash_tangent(
    rows: int, queries: int, keys: int, primals: tuple[Array, ...], tangents: tuple[Array, ...]
) -> tuple[Array, Array]:
    """Value of `flash_attention`, and the tangent of the chunks, of which JAX makes the gradient."""

    def chunked(query: Array, key: Array, value: Array) -> Array:
        return chunked_attention(softmax_attention, query, key, value, rows)

    _, tangent = jax.jvp(chunked, primals, tangents)
    return flash_attention(*primals, rows, queries, keys), tangent


def online_softmax(
    query: Float[Array, "b n q"], key: Float[Array, "b m q"], value: Float[Array, "b m c"], keys: int
) -> Float[Array, "b n c"]:
    """softmax(query @ key) @ value from so many keys at a time (Milakov and Gimelshein, 2018).

    Exponentials are taken below the largest energy so far, and scaled when a larger one comes.
    """
    query = query / math.log(2)  # for powers of 2
    batch, positions, _ = key.shape
    shape = (*query.shape[:2], 1)
    state = (
        jnp.full(shape, -jnp.inf, query.dtype),
        jnp.zeros(shape, query.dtype),
        jnp.zeros((*shape[:2], value.shape[2]), query.dtype),
    )

    def step(state: tuple[Array, Array, Array], block: tuple[Array, ...]) -> tuple[tuple[Array, Array, Array], None]:
        (before, total, gathered), (some_keys, values) = state, block
        energy = jnp.einsum("bnc,bmc->bnm", query, some_keys)
        largest = jnp.maximum(before, jnp.max(energy, axis=2, keepdims=True))
        powers, scale = jnp.exp2(energy - largest), jnp.exp2(before - largest)
        total = total * scale + jnp.sum(powers, axis=2, keepdims=True)
        gathered = gathered * scale + jnp.einsum("bnm,bmc->bnc", powers.astype(value.dtype), values)
        return (largest, total, gathered), None

    whole = positions // keys
    blocks = [jnp.moveaxis(x[:, : whole * keys].reshape(batch, whole, keys, x.shape[2]), 1, 0) for x in (key, value)]
    state, _ = jax.lax.scan(step, state, tuple(blocks))
    if positions % keys:
        state, _ = step(state, (key[:, whole * keys :], value[:, whole * keys :]))
    _, total, gathered = state
    return (gathered / total).astype(value.dtype)
