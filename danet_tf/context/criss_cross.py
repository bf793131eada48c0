"""Criss-cross attention (Huang et al., ICCV 2019): each position attends to its row and its column, twice."""

from __future__ import annotations

from collections.abc import Callable

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.layer_set import LayerSet
from danet_common.numerics.taps import NO_TAPS, Taps, passthrough
from danet_tf.module import Module
from danet_tf.primitives import PLAIN, upcast


@keras.saving.register_keras_serializable("danet")
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
        self.gamma = self.add_weight((1,), "zeros", layers.precision.accumulate_dtype, name="gamma")

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        x = taps.record("criss_cross_once", self.gather(x, taps.recorder("criss_cross_map1")))
        return self.gather(x, taps.recorder("criss_cross_map2"))

    def gather(self, x: Float[Tensor, "b h w c"], record: Callable[[Tensor], Tensor]) -> Float[Tensor, "b h w c"]:
        """One pass: features of each position's row and column, added to the position's own."""
        out = criss_cross_attention(self.query(x), self.key(x), self.value(x), record)
        return ops.cast(self.gamma, x.dtype) * out + x


def criss_cross_attention(
    query: Float[Tensor, "b h w q"],
    key: Float[Tensor, "b h w q"],
    value: Float[Tensor, "b h w c"],
    record: Callable[[Tensor], Tensor] = passthrough,
) -> Float[Tensor, "b h w c"]:
    """Attention to the positions of a column and a row; the row alone counts the position itself.

    `record` receives the map, H entries for the column and W for the row at each position, and returns it.
    """
    query, key, rows = upcast(query), upcast(key), ops.arange(ops.shape(query)[1])
    column = ops.einsum("bhwq,bgwq->bhwg", query, key)  # (B, H, W, H)
    row = ops.einsum("bhwq,bhvq->bhwv", query, key)  # (B, H, W, W)
    column = ops.where((rows[:, None] == rows)[:, None, :], float("-inf"), column)
    weights = ops.cast(record(ops.softmax(ops.concatenate((column, row), axis=3), axis=3)), value.dtype)
    column, row = weights[..., : ops.shape(query)[1]], weights[..., ops.shape(query)[1] :]
    return ops.einsum("bhwg,bgwc->bhwc", column, value) + ops.einsum("bhwv,bhvc->bhwc", row, value)
