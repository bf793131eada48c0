"""The non-local block (Wang et al., CVPR 2018, section 3)."""

from __future__ import annotations

from collections.abc import Callable

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor  # of any backend, in annotations
from keras import ops

from danet_common.config.layer_set import LayerSet
from danet_common.config.network import NonLocalForm, check_form
from danet_common.numerics.initialisation_scope import initialisation_scope
from danet_common.numerics.taps import NO_TAPS, Taps, passthrough
from danet_tf.attention import softmax_attention, to_feature_map, to_positions
from danet_tf.module import Module
from danet_tf.primitives import PLAIN, upcast


@keras.saving.register_keras_serializable("danet")
class NonLocal(Module):
    """Each position gathers features from all positions, in one of four ways.

    out = residual_bn(residual(map @ value)) + x

    gaussian            map = softmax(x @ x)
    embedded_gaussian   map = softmax(query @ key)
    dot_product         map = query @ key / M, for M keys
    concatenation       map = relu(query_score(query) + key_score(key)) / M

    The paper's theta, phi, g and W_z (eq. 2 to 6), and the halves of its w_f. Many copies scale the energies; the paper
    does not. `residual_bn` starts at a scale of 0, and the block as the identity. With `pooled`, keys and values are
    maxima of 2x2 positions.
    """

    def __init__(self, channels: int, form: NonLocalForm, pooled: bool, layers: LayerSet = PLAIN) -> None:
        super().__init__()
        check_form(form)
        inner, embedded, scored = max(channels // 2, 1), form != "gaussian", form == "concatenation"
        self.form = form
        self.pooled = pooled
        self.query = layers.conv(channels, inner, 1, bias=True) if embedded else None
        self.key = layers.conv(channels, inner, 1, bias=True) if embedded else None
        self.value = layers.conv(channels, inner, 1, bias=True)
        self.query_score = layers.conv(inner, 1, 1) if scored else None
        self.key_score = layers.conv(inner, 1, 1) if scored else None
        self.attention = layers.attention(DEFINITIONS[form])
        self.residual = layers.conv(inner, channels, 1)
        with initialisation_scope("residual_bn"):
            self.residual_bn = layers.norm(channels)

    def call(self, x: Float[Tensor, "b h w c"], taps: Taps = NO_TAPS) -> Float[Tensor, "b h w c"]:
        query = x if self.query is None else taps.record("non_local_query", self.query(x))
        key = x if self.key is None else taps.record("non_local_key", self.key(x))
        value = taps.record("non_local_value", self.value(x))
        if self.pooled:
            key, value = largest(key), largest(value)
        if self.query_score is not None and self.key_score is not None:
            query, key = self.query_score(query), self.key_score(key)
        out = self.attention(
            to_positions(query), to_positions(key), to_positions(value), taps.recorder("non_local_map")
        )
        return self.residual_bn(self.residual(to_feature_map(out, x))) + x


def largest(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q c"]:
    """Maxima of 2x2 positions; an odd last row or column is kept, so that every position has its part."""
    return ops.max_pool(x, 2, 2, "same", "channels_last")


def dot_product_attention(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    record: Callable[[Tensor], Tensor] = passthrough,
) -> Float[Tensor, "b n c"]:
    """(query @ key / M) @ value, for M keys; `record` is handed the map."""
    relation = ops.einsum("bnc,bmc->bnm", upcast(query), upcast(key))
    weights = record(relation / ops.cast(ops.shape(key)[1], relation.dtype))
    return ops.einsum("bnm,bmc->bnc", ops.cast(weights, value.dtype), value)


def concatenation_attention(
    query: Float[Tensor, "b n 1"],
    key: Float[Tensor, "b m 1"],
    value: Float[Tensor, "b m c"],
    record: Callable[[Tensor], Tensor] = passthrough,
) -> Float[Tensor, "b n c"]:
    """(relu(query + key) / M) @ value, for M keys, of scores; `record` is handed the map."""
    relation = ops.relu(upcast(query) + ops.transpose(upcast(key), (0, 2, 1)))  # (B, N, 1) + (B, 1, M)
    weights = record(relation / ops.cast(ops.shape(key)[1], relation.dtype))
    return ops.einsum("bnm,bmc->bnc", ops.cast(weights, value.dtype), value)


DEFINITIONS = {
    "gaussian": softmax_attention,
    "embedded_gaussian": softmax_attention,
    "dot_product": dot_product_attention,
    "concatenation": concatenation_attention,
}
