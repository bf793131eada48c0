"""The self-attention of SAGAN (Zhang et al., ICML 2019, section 3)."""

from __future__ import annotations

from flax import nnx
from jax import Array
from jax import numpy as jnp
from jaxtyping import Float

from danet_common import slices
from danet_common.numerics import Numerics
from danet_common.stages import NO_STAGES, Stages
from danet_jax.attention import attend, flatten
from danet_jax.layers import Conv, widen
from danet_jax.module import Module


class SelfAttention(Module):
    """Each position gathers features from all positions, in fewer channels, which a last convolution makes C again.

    out = gamma * residual(attention @ value) + x,   attention = softmax(query @ key)

    The paper's g, f, h and v, in this order `query`, `key`, `value` and `residual`: C / 8 channels, no biases. `gamma`
    starts at 0. The authors' code has C / 2 channels of values, and pools keys and values to maxima of 2x2 positions;
    many copies have no v but C channels of values, as `PositionAttention`. A large map is made in slices: `slice_size`
    of its entries for each picture at once.
    """

    kinds = ("gamma",)

    def __init__(self, channels: int, query_channels: int, numerics: Numerics) -> None:
        super().__init__()
        self.query = Conv(channels, query_channels, 1, numerics)
        self.key = Conv(channels, query_channels, 1, numerics)
        self.value = Conv(channels, query_channels, 1, numerics)
        self.residual = Conv(query_channels, channels, 1, numerics)
        self.slice_size = slices.SLICE_SIZE
        self.gamma = nnx.Param(jnp.zeros(1, numerics.wide))

    def __call__(self, x: Float[Array, "b h w c"], stages: Stages = NO_STAGES) -> Float[Array, "b h w c"]:
        query = flatten(widen(stages.keep("self_attention_query", self.query(x))))  # (B, N, Q), N = H*W
        key = flatten(widen(stages.keep("self_attention_key", self.key(x))))
        value = flatten(stages.keep("self_attention_value", self.value(x)))
        stages = stages.renamed("position_map", "self_attention_map")
        out = attend(query, key, value, self.slice_size, stages)
        out = self.residual(out.reshape(*x.shape[:3], -1))
        return self.gamma[...].astype(x.dtype) * out + x
