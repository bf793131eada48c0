"""DANet in Keras 3 (on TensorFlow)."""

from danet_tf.attention import ChannelAttention, PositionAttention
from danet_tf.model import DANet, from_checkpoint, load, save
from danet_tf.predict import predict

__all__ = ["ChannelAttention", "DANet", "PositionAttention", "from_checkpoint", "load", "predict", "save"]
