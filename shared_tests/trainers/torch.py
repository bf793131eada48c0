"""Trains with `danet_torch`."""

from __future__ import annotations

from typing import Any

import torch

from danet_common.recipe import TrainConfig
from danet_torch.losses import segmentation_loss
from shared_tests.job import Groups


def loss(fields: dict[str, Any], arrays: Groups) -> Groups:
    """The losses of outputs (N, C, H, W), and the gradient of the whole one by each."""
    outputs = {name: torch.from_numpy(array).requires_grad_() for name, array in arrays["outputs"].items()}
    labels = torch.from_numpy(arrays["input"]["labels"])
    losses = segmentation_loss(outputs, labels, TrainConfig.from_dict(fields["recipe"]))
    losses["loss"].backward()
    gradients = {name: output.grad.numpy() for name, output in outputs.items() if output.grad is not None}
    return {"losses": {name: value.detach().numpy() for name, value in losses.items()}, "gradients": gradients}
