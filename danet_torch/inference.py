"""From a photograph to the class of every pixel."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from danet_common.evaluation.prediction import predict_function
from danet_torch.model import DANet
from danet_torch.parameters import network_in


def predict_logits(model: DANet, pictures: Float32[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w classes"]:
    """Return fused logits of normalised pictures, at their size, in at least float32. Sets the model to inference."""
    model.eval()
    device = next(model.parameters()).device
    x = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).to(device)  # (N, C, H, W)
    return fused_logits(model, x).permute(0, 2, 3, 1).contiguous().cpu().numpy()


predict = predict_function(predict_logits, network_in)


@torch.no_grad()
def fused_logits(model: DANet, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes h w"]:
    """Return the logits that the prediction is made of."""
    return model(x, outputs=("fused",))["fused"]
