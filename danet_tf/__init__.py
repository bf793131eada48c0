"""DANet in Keras 3 (on TensorFlow)."""

from danet_common.config.former_arguments import no_attribute
from danet_common.keras_backend import require_keras_backend

require_keras_backend()  # before anything imports Keras

from danet_tf.attention import ChannelAttention, PositionAttention
from danet_tf.checkpoint import from_checkpoint, from_pretrained, load, save, save_pretrained
from danet_tf.context.bam import BAM
from danet_tf.context.cbam import CBAM
from danet_tf.context.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_tf.context.gating_decoder import GatingDecoder
from danet_tf.context.joint_attention import JointChannelAttention, JointPositionAttention
from danet_tf.context.non_local import NonLocal
from danet_tf.context.selective_kernel import SelectiveKernel
from danet_tf.context.self_attention import SelfAttention
from danet_tf.context.squeeze_excitation import SqueezeExcitation
from danet_tf.inference import predict, predict_logits
from danet_tf.layers import PLAIN, LayerSet
from danet_tf.model import DANet

__all__ = [
    "BAM",
    "CBAM",
    "PLAIN",
    "ChannelAttention",
    "CompactChannelAttention",
    "CompactPositionAttention",
    "DANet",
    "GatingDecoder",
    "JointChannelAttention",
    "JointPositionAttention",
    "LayerSet",
    "NonLocal",
    "PositionAttention",
    "SelectiveKernel",
    "SelfAttention",
    "SqueezeExcitation",
    "from_checkpoint",
    "from_pretrained",
    "load",
    "predict",
    "predict_logits",
    "save",
    "save_pretrained",
]


def __getattr__(name: str) -> object:
    """Raise AttributeError, with the new name of what has been renamed."""
    raise no_attribute(__name__, name, {"infer": "it is predict_logits now"})
