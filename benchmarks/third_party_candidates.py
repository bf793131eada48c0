"""DANets of other projects, from the package index, in an environment of their own.

This file imports nothing of danet: that environment lacks it.
"""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any

import torch
from torch import nn

DEPTHS = {"danet_r50": 50, "danet_r101": 101}


class NoOperators(types.ModuleType):
    """Replace mmcv's compiled operators: its lite edition lacks them, and DANet needs none."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def pytorchcv(variant: str, height: int, width: int) -> nn.Module:
    """Return pytorchcv's network, with the deep stem."""
    from pytorchcv.models import danet

    make = getattr(danet, f"danet_resnetd{DEPTHS[variant]}b_cityscapes")
    network: nn.Module = make(pretrained=False, in_size=(height, width))
    return network


def mmseg(variant: str, height: int, width: int) -> nn.Module:
    """Return mmsegmentation's network, with its own deep stem."""
    sys.modules["mmcv._ext"] = NoOperators("mmcv._ext")
    import mmseg.models  # noqa: F401
    from mmseg.registry import MODELS

    norm: dict[str, Any] = {"type": "BN", "requires_grad": True}
    backbone = {
        "type": "ResNetV1c",
        "depth": DEPTHS[variant],
        "num_stages": 4,
        "out_indices": (0, 1, 2, 3),
        "dilations": (1, 1, 2, 4),
        "strides": (1, 2, 1, 1),
        "norm_cfg": norm,
        "contract_dilation": True,
    }
    head = {
        "type": "DAHead",
        "in_channels": 2048,
        "in_index": 3,
        "channels": 512,
        "pam_channels": 64,
        "num_classes": 19,
        "norm_cfg": norm,
        "loss_decode": {"type": "CrossEntropyLoss"},
    }
    modules = {"backbone": backbone, "decode_head": head, "data_preprocessor": None}
    segmentor = MODELS.build({"type": "EncoderDecoder", **modules, "train_cfg": {}, "test_cfg": {"mode": "whole"}})

    class Upsampled(nn.Module):
        """The network with its upsampling to the input's size."""

        def __init__(self) -> None:
            super().__init__()
            self.segmentor = segmentor

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            logits = self.segmentor(x) if self.training else self.segmentor(x)[:1]  # the fused logits
            return [nn.functional.interpolate(output, x.shape[2:], mode="bilinear") for output in logits]

    return Upsampled()


NETWORKS = {"pytorchcv": pytorchcv, "mmseg": mmseg}


def make_pass(job: dict[str, Any]) -> Any:
    """Return a forward pass or a step of plain SGD, for `measure_process.measure` to time."""
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    device, training = job["device"], job["mode"] == "train"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = job["dtype"] == "tf32"
    dtype = torch.bfloat16 if job["dtype"] == "bfloat16" else torch.float32
    network = NETWORKS[job["candidate"]](job["variant"], job["height"], job["width"]).train(training).to(device)
    x = torch.randn(job["batch"], 3, job["height"], job["width"], device=device)
    if not training:
        network, x = network.to(dtype), x.to(dtype)

        @torch.inference_mode()
        def forward() -> None:
            network(x)
            synchronise(device)

        return forward
    labels = torch.randint(0, 19, (job["batch"], job["height"], job["width"]), device=device)
    optimizer = torch.optim.SGD(network.parameters(), 0.001, 0.9)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):  # the parameters stay in float32
            outputs = network(x)
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        losses = [nn.functional.cross_entropy(output.float(), labels) for output in outputs]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        synchronise(device)

    return step


def synchronise(device: str) -> None:
    """Wait until the GPU is idle."""
    if device == "cuda":
        torch.cuda.synchronize()
