"""DANet in PyTorch."""

from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.model import DANet, from_checkpoint, load, save
from danet_torch.predict import infer, predict
from danet_torch.pretrained import from_pretrained, save_pretrained

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
