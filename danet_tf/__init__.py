"""DANet in Keras 3 (on TensorFlow)."""

from danet_tf.attention import ChannelAttention, PositionAttention
from danet_tf.model import DANet, from_checkpoint, load, save
from danet_tf.predict import infer, predict
from danet_tf.pretrained import from_pretrained, save_pretrained

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
