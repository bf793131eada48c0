"""Criss-cross attention (Huang et al., ICCV 2019): each position attends to its row and its column, twice."""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps, passthrough
from danet_jax.module import Module
from danet_jax.primitives import PLAIN, upcast


class CrissCrossAttention(Module):
    """Each position gathers features from its row and its column, and in a second pass from all positions.

    out = gamma * attention @ value + x, applied twice with the same weights;   attention = softmax(query @ key)

    Each softmax is over the H + W - 1 positions of one row and one column, without 1 / sqrt(d). So a map has
    N * (H + W) entries instead of N * N. `gamma` starts at 0. The equations are the paper's 1 to 3, for R = 2 loops.
    """

    tensor_kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.query = layers.conv(channels, query_channels, 1, bias=True)
        self.key = layers.conv(channels, query_channels, 1, bias=True)
        self.value = layers.conv(channels, channels, 1, bias=True)
        self.gamma = nnx.Param(jnp.zeros(1, layers.precision.accumulate_dtype))

    def __call__(self, x: Float[Array, "b h w c"], taps: Taps = NO_TAPS) -> Float[Array, "b h w c"]:
        x = taps.record("criss_cross_once", self.gather(x, taps.recorder("criss_cross_map1")))
        return self.gather(x, taps.recorder("criss_cross_map2"))

    def gather(self, x: Float[Array, "b h w c"], record: Callable[[Array], Array]) -> Float[Array, "b h w c"]:
        """One pass: features of each position's row and column, added to the position's own."""
        out = criss_cross_attention(self.query(x), self.key(x), self.value(x), record)
        return self.gamma[...].astype(x.dtype) * out + x


def criss_cross_attention(
    query: Float[Array, "b h w q"],
    key: Float[Array, "b h w q"],
    value: Float[Array, "b h w c"],
    record: Callable[[Array], Array] = passthrough,
) -> Float[Array, "b h w c"]:
    """Attention to the positions of a column and a row; the row alone counts the position itself.

    `record` receives the map, H entries for the column and W for the row at each position, and returns it.
    """
    query, key, rows = upcast(query), upcast(key), jnp.arange(query.shape[1])
    column = jnp.einsum("bhwq,bgwq->bhwg", query, key)  # (B, H, W, H)
    row = jnp.einsum("bhwq,bhvq->bhwv", query, key)  # (B, H, W, W)
    column = jnp.where((rows[:, None] == rows)[:, None, :], -jnp.inf, column)
    weights = record(jax.nn.softmax(jnp.concat((column, row), axis=3), axis=3)).astype(value.dtype)
    column, row = weights[..., : query.shape[1]], weights[..., query.shape[1] :]
    return jnp.einsum("bhwg,bgwc->bhwc", column, value) + jnp.einsum("bhwv,bhvc->bhwc", row, value)
