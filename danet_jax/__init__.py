"""DANet in Flax (NNX, on JAX)."""

from danet_jax.attention import ChannelAttention, PositionAttention
from danet_jax.model import DANet, load, save

__all__ = ["ChannelAttention", "DANet", "PositionAttention", "load", "save"]
