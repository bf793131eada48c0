"""DANet in PyTorch."""

from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.model import DANet, from_checkpoint, load, save
from danet_torch.predict import predict

__all__ = ["ChannelAttention", "DANet", "PositionAttention", "from_checkpoint", "load", "predict", "save"]
