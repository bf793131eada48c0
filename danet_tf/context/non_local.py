"""The non-local block (Wang et al., CVPR 2018, section 3)."""

from __future__ import annotations

import functools

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common import slices
from danet_common.config import NonLocalForm, check_form
from danet_common.drawing import within
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_tf.attention import attend, flatten, in_slices
from danet_tf.layers import BatchNorm, Conv, widen
from danet_tf.module import Module


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
    maxima of 2x2 positions. A large map is made in slices: `slice_size` of its entries for each picture at once.
    """

    def __init__(self, channels: int, form: NonLocalForm, pooled: bool, numerics: Numerics) -> None:
        super().__init__(numerics, channels=channels, form=form, pooled=pooled)
        check_form(form)
        inner, embedded, scored = max(channels // 2, 1), form != "gaussian", form == "concatenation"
        self.form = form
        self.pooled = pooled
        self.query = Conv(channels, inner, 1, numerics, bias=True) if embedded else None
        self.key = Conv(channels, inner, 1, numerics, bias=True) if embedded else None
        self.value = Conv(channels, inner, 1, numerics, bias=True)
        self.query_score = Conv(inner, 1, 1, numerics) if scored else None
        self.key_score = Conv(inner, 1, 1, numerics) if scored else None
        self.residual = Conv(inner, channels, 1, numerics)
        with within("residual_bn"):
            self.residual_bn = BatchNorm(channels, numerics)
        self.slice_size = slices.SLICE_SIZE

    def call(self, x: Float[Tensor, "b h w c"], stages: Stages = NO_STAGES) -> Float[Tensor, "b h w c"]:
        query = x if self.query is None else stages.keep("non_local_query", self.query(x))
        key = x if self.key is None else stages.keep("non_local_key", self.key(x))
        value = stages.keep("non_local_value", self.value(x))
        if self.pooled:
            key, value = largest(key), largest(value)
        if self.query_score is not None and self.key_score is not None:
            query, key = self.query_score(query), self.key_score(key)
        query, key, value = flatten(widen(query)), flatten(widen(key)), flatten(value)
        if self.form in ("gaussian", "embedded_gaussian"):
            out = attend(query, key, value, self.slice_size, stages.renamed("position_map", "non_local_map"))
        else:
            out = relate(query, key, value, self.form, self.slice_size, stages)
        out = ops.reshape(out, (*ops.shape(x)[:3], out.shape[2]))
        return self.residual_bn(self.residual(out)) + x


def largest(x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b p q c"]:
    """Maxima of 2x2 positions; an odd last row or column is kept, so that every position has its part."""
    return ops.max_pool(x, 2, 2, "same")


def relate(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    form: NonLocalForm,
    slice_size: int,
    stages: Stages = NO_STAGES,
) -> Float[Tensor, "b n c"]:
    """What each query gathers, in slices of queries, by a map that is no softmax.

    The map is made whole where it fits in `slice_size`, or where the stage `non_local_map` is asked for. The gradient
    computes each slice again, so that no map is kept.
    """
    positions = ops.shape(query)[1]
    rows = slices.rows(positions, slice_size)
    fits = isinstance(rows, int) and rows >= positions  # of a size that only the graph knows, it is then one slice
    if fits or "non_local_map" in stages.wanted:
        return accumulate(query, key, value, form, stages)
    return in_slices(functools.partial(accumulate, form=form), query, key, value, rows)


def accumulate(
    query: Float[Tensor, "b n q"],
    key: Float[Tensor, "b m q"],
    value: Float[Tensor, "b m c"],
    form: NonLocalForm,
    stages: Stages = NO_STAGES,
) -> Float[Tensor, "b n c"]:
    """What each query gathers, by one map: its products, or scores, with all keys, divided by their number."""
    if form == "concatenation":
        relation = ops.relu(query + ops.transpose(key, (0, 2, 1)))  # (B, N, 1) + (B, 1, M)
    else:
        relation = ops.einsum("bnc,bmc->bnm", query, key)
    relation = stages.keep("non_local_map", relation / ops.cast(ops.shape(key)[1], relation.dtype))
    return ops.einsum("bnm,bmc->bnc", ops.cast(relation, value.dtype), value)
