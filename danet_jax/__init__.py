"""DANet in Flax (NNX, on JAX)."""

from danet_jax.attention import ChannelAttention, PositionAttention
from danet_jax.bam import BAM
from danet_jax.cbam import CBAM
from danet_jax.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_jax.gating_decoder import GatingDecoder
from danet_jax.joint_attention import JointChannelAttention, JointPositionAttention
from danet_jax.model import DANet, from_checkpoint, load, save
from danet_jax.non_local import NonLocal
from danet_jax.predict import infer, predict
from danet_jax.pretrained import from_pretrained, save_pretrained
from danet_jax.selective_kernel import SelectiveKernel
from danet_jax.self_attention import SelfAttention
from danet_jax.squeeze_excitation import SqueezeExcitation

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
