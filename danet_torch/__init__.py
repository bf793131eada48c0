"""DANet in PyTorch."""

from danet_common.config.former_arguments import no_attribute
from danet_common.config.layer_set import LayerSet
from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.checkpoint import from_checkpoint, from_pretrained, load, save, save_pretrained
from danet_torch.context import MODULES
from danet_torch.inference import predict, predict_logits
from danet_torch.layers import PLAIN
from danet_torch.model import DANet

__all__ = [
    "PLAIN",
    "ChannelAttention",
    "DANet",
    "LayerSet",
    "PositionAttention",
    "from_checkpoint",
    "from_pretrained",
    "load",
    "predict",
    "predict_logits",
    "save",
    "save_pretrained",
]

MOVED = {kind.__name__: f"it is {kind.__module__}.{kind.__name__} now" for kind in MODULES.values()}
HINTS = {"infer": "it is predict_logits now", **MOVED}


def __getattr__(name: str) -> object:
    """Raise AttributeError, with the new name of what has been renamed."""
    raise no_attribute(__name__, name, HINTS)
