"""DANet in Flax (NNX, on JAX)."""

from danet_common.config.former_arguments import no_attribute
from danet_jax.attention import ChannelAttention, PositionAttention
from danet_jax.checkpoint import from_checkpoint, from_pretrained, load, save, save_pretrained
from danet_jax.context.bam import BAM
from danet_jax.context.cbam import CBAM
from danet_jax.context.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_jax.context.gating_decoder import GatingDecoder
from danet_jax.context.joint_attention import JointChannelAttention, JointPositionAttention
from danet_jax.context.non_local import NonLocal
from danet_jax.context.selective_kernel import SelectiveKernel
from danet_jax.context.self_attention import SelfAttention
from danet_jax.context.squeeze_excitation import SqueezeExcitation
from danet_jax.inference import predict, predict_logits
from danet_jax.layers import PLAIN, LayerSet
from danet_jax.model import DANet

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
