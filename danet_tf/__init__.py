"""DANet in Keras 3 (on TensorFlow)."""

from danet_common.keras_backend import require_keras_backend

require_keras_backend()  # before anything imports Keras

from danet_tf.attention import ChannelAttention, PositionAttention
from danet_tf.bam import BAM
from danet_tf.cbam import CBAM
from danet_tf.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_tf.gating_decoder import GatingDecoder
from danet_tf.joint_attention import JointChannelAttention, JointPositionAttention
from danet_tf.model import DANet, from_checkpoint, load, save
from danet_tf.non_local import NonLocal
from danet_tf.predict import infer, predict
from danet_tf.pretrained import from_pretrained, save_pretrained
from danet_tf.selective_kernel import SelectiveKernel
from danet_tf.self_attention import SelfAttention
from danet_tf.squeeze_excitation import SqueezeExcitation

__all__ = [
    "BAM",
    "CBAM",
    "ChannelAttention",
    "CompactChannelAttention",
    "CompactPositionAttention",
    "DANet",
    "GatingDecoder",
    "JointChannelAttention",
    "JointPositionAttention",
    "NonLocal",
    "PositionAttention",
    "SelectiveKernel",
    "SelfAttention",
    "SqueezeExcitation",
    "from_checkpoint",
    "from_pretrained",
    "infer",
    "load",
    "predict",
    "save",
    "save_pretrained",
]
