"""DANet in PyTorch."""

from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.model import DANet, load, save

__all__ = ["ChannelAttention", "DANet", "PositionAttention", "load", "save"]
