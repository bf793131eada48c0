"""Position and channel attention (Fu et al., CVPR 2019, section 3).
Follows the authors' released code where that differs from the paper: see README."""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common.taps import NO_TAPS, Taps, ignore
from danet_jax.layers import PLAIN, LayerSet, upcast
from danet_jax.module import Module


class PositionAttention(Module):
    """Each position gathers features from all positions.

    out = gamma * attention @ value + x,   attention = softmax(query @ key)

    `gamma` is the paper's alpha (eq. 2); it starts at 0. The energies are not scaled by 1 / sqrt(d).
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.query = layers.conv(channels, query_channels, 1, bias=True)
        self.key = layers.conv(channels, query_channels, 1, bias=True)
        self.value = layers.conv(channels, channels, 1, bias=True)
        self.attention = layers.attention(softmax_attention)
        self.gamma = nnx.Param(jnp.zeros(1, layers.precision.accumulate_dtype))

    def __call__(self, x: Float[Array, "b h w c"], taps: Taps = NO_TAPS) -> Float[Array, "b h w c"]:
        query = flatten(taps.record("position_query", self.query(x)))  # (B, N, Q), N = H*W
        key = flatten(taps.record("position_key", self.key(x)))
        value = flatten(taps.record("position_value", self.value(x)))  # (B, N, C)
        out = self.attention(query, key, value, taps.recorder("position_map"))
        return self.gamma[...].astype(x.dtype) * unflatten(out, x) + x


class ChannelAttention(Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    `gamma` is the paper's beta (eq. 4); it starts at 0. The paper's eq. 3 has softmax(energy): the
    released code, and every checkpoint trained with it, turns the sign, so that unlike channels weigh more.
    """

    kinds = ("gamma",)

    def __init__(self, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        self.gamma = nnx.Param(jnp.zeros(1, layers.precision.accumulate_dtype))

    def __call__(self, x: Float[Array, "b h w c"], taps: Taps = NO_TAPS) -> Float[Array, "b h w c"]:
        features = flatten(x)  # (B, N, C)
        energy = jnp.einsum("bnc,bnd->bcd", upcast(features), upcast(features))  # (B, C, C), sums over N: large
        energy = jnp.max(energy, axis=2, keepdims=True) - energy  # as released: unlike channels weigh more
        weights = taps.record("channel_map", jax.nn.softmax(energy, 2))
        out = jnp.einsum("bcd,bnd->bnc", weights.astype(x.dtype), features)
        return self.gamma[...].astype(x.dtype) * unflatten(out, x) + x


def softmax_attention(
    query: Float[Array, "b n q"],
    key: Float[Array, "b m q"],
    value: Float[Array, "b m c"],
    record: Callable[[Array], Array] = ignore,
) -> Float[Array, "b n c"]:
    """softmax(query @ key) @ value; `record` is handed the map, whose rows sum to 1."""
    energy = jnp.einsum("bnc,bmc->bnm", upcast(query), upcast(key))
    weights = record(jax.nn.softmax(energy, 2))
    return jnp.einsum("bnm,bmc->bnc", weights.astype(value.dtype), value)


def flatten(x: Float[Array, "b h w c"]) -> Float[Array, "b n c"]:
    """Height and width as one axis of positions."""
    return x.reshape(x.shape[0], -1, x.shape[3])


def unflatten(x: Float[Array, "b n c"], like: Float[Array, "b h w d"]) -> Float[Array, "b h w c"]:
    """The positions as the height and width of `like`."""
    return x.reshape(*like.shape[:3], x.shape[2])
