"""DANet in Keras 3 (on TensorFlow)."""

from danet_tf.attention import ChannelAttention, PositionAttention
from danet_tf.model import DANet, load, save

__all__ = ["ChannelAttention", "DANet", "PositionAttention", "load", "save"]
