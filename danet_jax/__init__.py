"""DANet in Flax (NNX, on JAX)."""

from danet_jax.attention import ChannelAttention, PositionAttention
from danet_jax.model import DANet, from_checkpoint, load, save
from danet_jax.predict import predict

__all__ = ["ChannelAttention", "DANet", "PositionAttention", "from_checkpoint", "load", "predict", "save"]
