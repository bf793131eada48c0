"""DANet in PyTorch."""

from danet_common.config.former_arguments import former_attributes
from danet_common.extras import FRAMEWORKS, require_packages

require_packages("danet_torch", FRAMEWORKS["torch"])  # before anything imports them

from danet_common import __version__
from danet_common.config.layer_set import LayerSet
from danet_torch.attention import ChannelAttention, PositionAttention
from danet_torch.checkpoint import from_checkpoint, from_pretrained, load, save, save_pretrained
from danet_torch.context import MODULES
from danet_torch.inference import predict, predict_logits
from danet_torch.model import DANet
from danet_torch.primitives import PLAIN

__all__ = [
    "PLAIN",
    "ChannelAttention",
    "DANet",
    "LayerSet",
    "PositionAttention",
    "__version__",
    "from_checkpoint",
    "from_pretrained",
    "load",
    "predict",
    "predict_logits",
    "save",
    "save_pretrained",
]

__getattr__ = former_attributes(__name__, MODULES.values(), infer="it is predict_logits now")
