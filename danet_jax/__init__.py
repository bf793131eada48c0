"""DANet in Flax (NNX, on JAX)."""

from danet_jax.attention import ChannelAttention, PositionAttention
from danet_jax.model import DANet, from_checkpoint, load, save
from danet_jax.predict import infer, predict
from danet_jax.pretrained import from_pretrained, save_pretrained

__all__ = [
    "ChannelAttention",
    "DANet",
    "PositionAttention",
    "from_checkpoint",
    "from_pretrained",
    "infer",
    "load",
    "predict",
    "save",
    "save_pretrained",
]
