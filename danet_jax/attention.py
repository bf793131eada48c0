"""Position and channel attention (Fu et al., CVPR 2019, section 3).
Follows the authors' released code where that differs from the paper: see README."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common import slices
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_jax.layers import Conv, widen
from danet_jax.module import Module


class PositionAttention(Module):
    """Each position gathers features from all positions.

    out = gamma * attention @ value + x,   attention = softmax(query @ key)

    `gamma` is the paper's alpha (eq. 2); it starts at 0. The energies are not scaled by 1 / sqrt(d). A large map
    is made in slices: `slice_size` of its entries for each picture at once. Set it lower for less memory.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__()
        self.query = Conv(channels, query_channels, 1, numerics, bias=True)
        self.key = Conv(channels, query_channels, 1, numerics, bias=True)
        self.value = Conv(channels, channels, 1, numerics, bias=True)
        self.slice_size = slices.SLICE_SIZE
        self.gamma = nnx.Param(jnp.zeros(1, numerics.wide))

    def __call__(self, x: Float[Array, "b h w c"], stages: Stages = NO_STAGES) -> Float[Array, "b h w c"]:
        query = flatten(widen(stages.keep("position_query", self.query(x))))  # (B, N, Q), N = H*W
        key = flatten(widen(stages.keep("position_key", self.key(x))))
        value = flatten(stages.keep("position_value", self.value(x)))  # (B, N, C)
        out = attend(query, key, value, self.slice_size, stages).reshape(x.shape)
        return self.gamma[...].astype(x.dtype) * out + x


class ChannelAttention(Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    `gamma` is the paper's beta (eq. 4); it starts at 0. The paper's eq. 3 has softmax(energy): the
    released code, and every checkpoint trained with it, turns the sign, so that unlike channels weigh more.
    """

    kinds = ("gamma",)

    def __init__(self, numerics: Numerics) -> None:
        super().__init__()
        self.gamma = nnx.Param(jnp.zeros(1, numerics.wide))

    def __call__(self, x: Float[Array, "b h w c"], stages: Stages = NO_STAGES) -> Float[Array, "b h w c"]:
        features = flatten(x)  # (B, N, C)
        energy = jnp.einsum("bnc,bnd->bcd", widen(features), widen(features))  # (B, C, C), sums over N: large
        energy = jnp.max(energy, axis=2, keepdims=True) - energy  # as released: unlike channels weigh more
        attention = stages.keep("channel_map", jax.nn.softmax(energy, axis=2))
        out = jnp.einsum("bcd,bnd->bnc", attention.astype(x.dtype), features).reshape(x.shape)
        return self.gamma[...].astype(x.dtype) * out + x


def flatten(x: Float[Array, "b h w c"]) -> Float[Array, "b n c"]:
    """Height and width as one axis of positions."""
    return x.reshape(x.shape[0], -1, x.shape[3])


def attend(
    query: Float[Array, "b n q"],
    key: Float[Array, "b n q"],
    value: Float[Array, "b n c"],
    slice_size: int,
    stages: Stages = NO_STAGES,
) -> Float[Array, "b n c"]:
    """What each query gathers, in slices of queries: softmax(query @ key) @ value.

    The map is made whole where it fits in `slice_size`, or where the stage `position_map` is asked for. The gradient
    computes each slice again, so that no map is kept.
    """
    positions = query.shape[1]
    rows = slices.rows(positions, slice_size)
    if rows >= positions or "position_map" in stages.wanted:
        return gather(query, key, value, stages)
    return in_blocks(query, key, value, rows, *slices.block(slice_size))


def in_slices(
    one: Callable[..., Array],
    query: Float[Array, "b n q"],
    key: Float[Array, "b m q"],
    value: Float[Array, "b m c"],
    rows: int,
) -> Float[Array, "b n c"]:
    """What `one` makes of queries, keys and values, of so many queries at a time.

    The gradient computes each slice again, so that nothing of it is kept.
    """
    batch, positions, channels = query.shape
    padded = jnp.pad(query, ((0, 0), (0, -positions % rows), (0, 0)))
    pieces = jnp.moveaxis(padded.reshape(batch, -1, rows, channels), 1, 0)
    out = jax.lax.map(lambda piece: jax.checkpoint(one)(piece, key, value), pieces)
    return jnp.moveaxis(out, 0, 1).reshape(batch, -1, value.shape[2])[:, :positions]


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4, 5))
def in_blocks(
    query: Float[Array, "b n q"],
    key: Float[Array, "b m q"],
    value: Float[Array, "b m c"],
    rows: int,
    queries: int,
    keys: int,
) -> Float[Array, "b n c"]:
    """The same by blocks of queries and keys, whose products are faster than those of few queries and all keys. The
    gradient is of the slices."""
    return in_slices(functools.partial(gather_by_keys, keys=keys), query, key, value, queries)


@in_blocks.defjvp
def tangent_in_slices(
    rows: int, queries: int, keys: int, primals: tuple[Array, ...], tangents: tuple[Array, ...]
) -> tuple[Array, Array]:
    """Of `in_blocks`: its value, and the tangent of the slices, of which JAX makes the gradient."""

    def sliced(query: Array, key: Array, value: Array) -> Array:
        return in_slices(gather, query, key, value, rows)

    _, tangent = jax.jvp(sliced, primals, tangents)
    return in_blocks(*primals, rows, queries, keys), tangent


def gather_by_keys(
    query: Float[Array, "b n q"], key: Float[Array, "b m q"], value: Float[Array, "b m c"], keys: int
) -> Float[Array, "b n c"]:
    """What each query gathers, from so many keys at a time: softmax(query @ key) @ value.

    Exponentials are taken below the largest energy so far, and scaled when a larger one comes (Milakov and Gimelshein,
    2018). They are powers of 2, for which PyTorch takes half the time.
    """
    query = query / math.log(2)
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


def gather(
    query: Float[Array, "b n q"],
    key: Float[Array, "b m q"],
    value: Float[Array, "b m c"],
    stages: Stages = NO_STAGES,
) -> Float[Array, "b n c"]:
    """What each query gathers, by one map: softmax(query @ key) @ value."""
    energy = jnp.einsum("bnc,bmc->bnm", query, key)
    attention = stages.keep("position_map", jax.nn.softmax(energy, axis=2))
    return jnp.einsum("bnm,bmc->bnc", attention.astype(value.dtype), value)
