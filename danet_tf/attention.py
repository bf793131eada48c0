"""Position and channel attention (Fu et al., CVPR 2019, section 3).
Follows the authors' released code where that differs from the paper: see README."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import tensorflow as tf
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common import slices
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_tf.layers import Conv, widen
from danet_tf.module import Module


@keras.saving.register_keras_serializable("danet")
class PositionAttention(Module):
    """Each position gathers features from all positions.

    out = gamma * attention @ value + x,   attention = softmax(query @ key)

    `gamma` is the paper's alpha (eq. 2); it starts at 0. The energies are not scaled by 1 / sqrt(d). A large map
    is made in slices: `slice_size` of its entries for each picture at once. Set it lower for less memory.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__(numerics, channels=channels, query_channels=query_channels)
        self.query = Conv(channels, query_channels, 1, numerics, bias=True)
        self.key = Conv(channels, query_channels, 1, numerics, bias=True)
        self.value = Conv(channels, channels, 1, numerics, bias=True)
        self.slice_size = slices.SLICE_SIZE
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", dtype=self.numerics.wide, name="gamma")
        self.built = True

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        query = flatten(widen(stages.keep("position_query", self.query(x))))  # (B, N, Q), N = H*W
        key = flatten(widen(stages.keep("position_key", self.key(x))))
        value = flatten(stages.keep("position_value", self.value(x)))  # (B, N, C)
        out = ops.reshape(attend(query, key, value, self.slice_size, stages), ops.shape(x))
        return ops.cast(self.gamma, x.dtype) * out + x


@keras.saving.register_keras_serializable("danet")
class ChannelAttention(Module):
    """Each channel gathers features from all channels.

    out = gamma * attention @ x + x,   attention = softmax(max(energy) - energy),   energy = x @ x.T

    `gamma` is the paper's beta (eq. 4); it starts at 0. The paper's eq. 3 has softmax(energy): the
    released code, and every checkpoint trained with it, turns the sign, so that unlike channels weigh more.
    """

    kinds = ("gamma",)

    def __init__(self, numerics: Numerics) -> None:
        super().__init__(numerics)
        self.build()

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", dtype=self.numerics.wide, name="gamma")
        self.built = True

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        features = flatten(x)  # (B, N, C)
        energy = ops.einsum("bnc,bnd->bcd", widen(features), widen(features))  # (B, C, C), sums over N: large
        energy = ops.max(energy, axis=2, keepdims=True) - energy  # as released: unlike channels weigh more
        attention = stages.keep("channel_map", ops.softmax(energy, axis=2))
        out = ops.reshape(ops.einsum("bcd,bnd->bnc", ops.cast(attention, x.dtype), features), ops.shape(x))
        return ops.cast(self.gamma, x.dtype) * out + x


def flatten(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b n c"]:
    """Height and width as one axis of positions."""
    batch, height, width, channels = ops.shape(x)
    return ops.reshape(x, (batch, height * width, channels))


def attend(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b n q"],
    value: Float[Tensor, "b n c"],
    slice_size: int,
    stages: Stages = NO_STAGES,
) -> Float[Tensor, "b n c"]:
    """What each query gathers, in slices of queries: softmax(query @ key) @ value.

    The map is made whole where it fits in `slice_size`, or where the stage `position_map` is asked for. The gradient
    computes each slice again, so that no map is kept.
    """
    positions = ops.shape(query)[1]
    rows = slices.rows(positions, slice_size)
    fits = isinstance(rows, int) and rows >= positions  # of a size that only the graph knows, it is then one slice
    if fits or "position_map" in stages.wanted:
        return gather(query, key, value, stages)
    return in_slices(gather, query, key, value, rows)


def in_slices(
    one: Callable[..., Tensor],
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    rows: int,
) -> Float[Tensor, "b n c"]:
    """What `one` makes of queries, keys and values, of so many queries at a time.

    The gradient computes each slice again, so that nothing of it is kept.
    """
    batch, positions, channels = ops.shape(query)
    padded = ops.pad(query, ((0, 0), (0, -positions % rows), (0, 0)))
    pieces = ops.moveaxis(ops.reshape(padded, (batch, -1, rows, channels)), 1, 0)
    one_by_one = ops.map  # on TensorFlow, it would compute ten at once
    if keras.backend.backend() == "tensorflow":
        one_by_one = functools.partial(tf.map_fn, parallel_iterations=1, fn_output_signature=value.dtype)
    out = one_by_one(lambda piece: computed_again(one)(piece, key, value), pieces)  # captured, they had no gradient
    return ops.reshape(ops.moveaxis(out, 0, 1), (batch, -1, value.shape[2]))[:, :positions]


def computed_again(one: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, whose gradient computes it again. On TensorFlow Keras's own has no second gradient."""
    if keras.backend.backend() != "tensorflow":
        return keras.remat(one)

    @tf.custom_gradient
    def call(*leaves: Tensor) -> tuple[Tensor, Callable[[Tensor], list[Tensor]]]:
        def gradient(cotangent: Tensor) -> list[Tensor]:
            again = [tf.identity(leaf) for leaf in leaves]  # or second gradients within loops would be wrong
            with tf.GradientTape() as tape:
                tape.watch(again)
                out = one(*again)
            return tape.gradient(out, again, cotangent)

        return one(*leaves), gradient

    return call


def gather(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    stages: Stages = NO_STAGES,
) -> Float[Tensor, "b n c"]:
    """What each query gathers, by one map: softmax(query @ key) @ value."""
    energy = ops.einsum("bnc,bmc->bnm", query, key)
    attention = stages.keep("position_map", ops.softmax(energy, axis=2))
    return ops.einsum("bnm,bmc->bnc", ops.cast(attention, value.dtype), value)
