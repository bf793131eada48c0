"""DANet in PyTorch."""

from danet_common.config.former_arguments import no_attribute
from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.checkpoint import from_checkpoint, from_pretrained, load, save, save_pretrained
from danet_torch.context.bam import BAM
from danet_torch.context.cbam import CBAM
from danet_torch.context.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_torch.context.gating_decoder import GatingDecoder
from danet_torch.context.joint_attention import JointChannelAttention, JointPositionAttention
from danet_torch.context.non_local import NonLocal
from danet_torch.context.selective_kernel import SelectiveKernel
from danet_torch.context.self_attention import SelfAttention
from danet_torch.context.squeeze_excitation import SqueezeExcitation
from danet_torch.inference import predict, predict_logits
from danet_torch.layers import PLAIN, LayerSet
from danet_torch.model import DANet

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
