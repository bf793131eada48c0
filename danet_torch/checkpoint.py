"""Networks from and to files."""

from __future__ import annotations

from danet_common.checkpoint import Checkpoint
from danet_common.checkpoint.network_functions import NetworkFunctions
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.folding import tensors_for
from danet_torch.model import DANet
from danet_torch.parameters import get_tensors, network_in, set_tensors


def build(checkpoint: Checkpoint, dtype: str, layers: LayerSet | str) -> DANet:
    """Return the network of a complete checkpoint, in inference mode."""
    model = DANet(checkpoint.config, dtype=dtype, seed=None, layers=layers)
    set_tensors(model, tensors_for(model.layer_set, checkpoint))
    return model.eval()


functions = NetworkFunctions("torch", build, network_in, get_tensors)
from_checkpoint, to_checkpoint = functions.from_checkpoint, functions.to_checkpoint
load, save = functions.load, functions.save
from_pretrained, save_pretrained = functions.from_pretrained, functions.save_pretrained
