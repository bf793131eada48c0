"""Attention in memory linear in the positions: chunks of queries, each computed again for the gradient.

Each computes the numbers of a definition such as `softmax_attention`, whose map has N x M entries.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.config.layer_set import Definition
from danet_common.numerics import chunks
from danet_common.numerics.taps import passthrough
from danet_tf.primitives import upcast


@dataclass(frozen=True)
class MemoryEfficientAttention:
    """The same numbers as a definition of attention, without its map; with the map where a tap records it."""

    definition: Definition

    def __call__(
        self,
        query: Float[Tensor, "b n q"],
        key: Float[Tensor, "b m q"],
        value: Float[Tensor, "b m c"],
        record: Callable[[Tensor], Tensor] = passthrough,
    ) -> Float[Tensor, "b n c"]:
        positions = ops.shape(query)[1]
        if record is not passthrough or (keras.backend.backend() == "jax" and not isinstance(positions, int)):
            return self.definition(query, key, value, record)  # JAX cannot cut a symbolic size into chunks
        rows = chunks.chunk_rows(positions, chunks.CHUNK_SIZE)
        if isinstance(rows, int) and rows >= positions:  # of a size that only the graph knows, it is then one chunk
            return self.definition(query, key, value, record)
        return chunked_attention(self.definition, upcast(query), upcast(key), value, rows)


def chunked_attention(
    definition: Definition,
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    rows: int,
) -> Float[Tensor, "b n c"]:
    """Attention of so many queries at a time. The gradient computes each chunk again, so that no map is kept."""
    batch, positions, channels = ops.shape(query)
    padded = ops.pad(query, ((0, 0), (0, -positions % rows), (0, 0)))
    pieces = ops.moveaxis(ops.reshape(padded, (batch, -1, rows, channels)), 1, 0)
    one_by_one = ops.map  # on TensorFlow, it would compute ten at once
    if keras.backend.backend() == "tensorflow":
        one_by_one = functools.partial(tf.map_fn, parallel_iterations=1, fn_output_signature=value.dtype)
    out = one_by_one(lambda piece: remat_function(definition)(piece, key, value), pieces)  # captured, no gradient
    return ops.reshape(ops.moveaxis(out, 0, 1), (batch, -1, value.shape[2]))[:, :positions]


def remat_function(definition: Definition) -> Definition:
    """The function, whose gradient computes it again. On TensorFlow Keras's own has no second gradient."""
    if keras.backend.backend() != "tensorflow":
        return keras.remat(definition)

    @tf.custom_gradient
    def call(*leaves: Tensor) -> tuple[Tensor, Callable[[Tensor], list[Tensor]]]:
        def gradient(cotangent: Tensor) -> list[Tensor]:
            again = [tf.identity(leaf) for leaf in leaves]  # or second gradients within loops would be wrong
            with tf.GradientTape() as tape:
                tape.watch(again)
                out = definition(*again)
            return tape.gradient(out, again, cotangent)

        return definition(*leaves), gradient

    return call
