"""DANet in PyTorch."""

from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.bam import BAM
from danet_torch.cbam import CBAM
from danet_torch.compact_attention import CompactChannelAttention, CompactPositionAttention
from danet_torch.gating_decoder import GatingDecoder
from danet_torch.joint_attention import JointChannelAttention, JointPositionAttention
from danet_torch.model import DANet, from_checkpoint, load, save
from danet_torch.non_local import NonLocal
from danet_torch.predict import infer, predict
from danet_torch.pretrained import from_pretrained, save_pretrained
from danet_torch.selective_kernel import SelectiveKernel
from danet_torch.self_attention import SelfAttention
from danet_torch.squeeze_excitation import SqueezeExcitation

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
