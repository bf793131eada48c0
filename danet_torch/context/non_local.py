"""The non-local block (Wang et al., CVPR 2018, section 3)."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from danet_common import slices
from danet_common.config import NonLocalForm, check_form
from danet_common.drawing import within
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_torch.attention import attend, flatten, in_slices
from danet_torch.layers import BatchNorm, Conv, as_typed, widen


class NonLocal(nn.Module):
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
        super().__init__()
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

    @as_typed
    def forward(self, x: Float[Tensor, "b c h w"], stages: Stages = NO_STAGES) -> Float[Tensor, "b c h w"]:
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
        out = out.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])
        return self.residual_bn(self.residual(out)) + x


def largest(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
    """Maxima of 2x2 positions; an odd last row or column is kept, so that every position has its part."""
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


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
    positions = query.shape[1]
    rows = slices.rows(positions, slice_size)
    if rows >= positions or "non_local_map" in stages.wanted:
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
        relation = F.relu_(query + key.transpose(1, 2))  # (B, N, 1) + (B, 1, M)
    else:
        relation = torch.einsum("bnc,bmc->bnm", query, key)
    relation = stages.keep("non_local_map", relation / key.shape[1])
    return torch.einsum("bnm,bmc->bnc", relation.to(value.dtype), value)
