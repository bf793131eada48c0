"""From a photograph to the class of every pixel."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt, UInt8
from torch import Tensor

from danet_common.image import label_dtype, normalise
from danet_torch.model import DANet


def predict(model: DANet, image: UInt8[np.ndarray, "h w 3"]) -> UInt[np.ndarray, "h w"]:
    """The class with the largest fused logit at every pixel of an RGB image, at its full size.

    The model is in inference mode, as `load` returns it. uint8 for up to 256 classes.
    """
    device = model.head.fused_classifier.weight.device
    x = torch.from_numpy(normalise(image, model.config).transpose(2, 0, 1)[None]).to(device)  # (1, C, H, W)
    labels = torch.argmax(fused_logits(model, x), dim=1)[0]
    return labels.cpu().numpy().astype(label_dtype(model.config))


def infer(model: DANet, pictures: Float32[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n h w classes"]:
    """The fused logits of normalised pictures, at their size, in at least float32. Puts the model in inference mode."""
    model.eval()
    device = model.head.fused_classifier.weight.device
    x = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()).to(device)  # (N, C, H, W)
    return fused_logits(model, x).permute(0, 2, 3, 1).contiguous().cpu().numpy()


@torch.no_grad()
def fused_logits(model: DANet, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes h w"]:
    """The logits that the prediction is made of."""
    return model(x, outputs=("fused",))["fused"]
