"""Other people's DANets, from the package index, run by the interpreter of an environment of their own.

This file imports nothing of ours: that environment has none of it.
"""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any

import torch
from torch import nn

DEPTHS = {"danet_r50": 50, "danet_r101": 101}


class WithoutOperators(types.ModuleType):
    """In the place of mmcv's compiled operators, which its lite edition lacks and DANet uses none of."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def pytorchcv(variant: str, height: int, width: int) -> nn.Module:
    """pytorchcv's network, with the deep stem."""
    from pytorchcv.models import danet

    make = getattr(danet, f"danet_resnetd{DEPTHS[variant]}b_cityscapes")
    network: nn.Module = make(pretrained=False, in_size=(height, width))
    return network


def mmseg(variant: str, height: int, width: int) -> nn.Module:
    """mmsegmentation's network, with its own deep stem."""
    sys.modules["mmcv._ext"] = WithoutOperators("mmcv._ext")
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
    parts = {"backbone": backbone, "decode_head": head, "data_preprocessor": None}
    segmentor = MODELS.build({"type": "EncoderDecoder", **parts, "train_cfg": {}, "test_cfg": {"mode": "whole"}})

    class Whole(nn.Module):
        """With its upsampling."""

        def __init__(self) -> None:
            super().__init__()
            self.segmentor = segmentor

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            logits = self.segmentor(x) if self.training else self.segmentor(x)[:1]  # for a prediction, the fused one
            return [nn.functional.interpolate(one, x.shape[2:], mode="bilinear") for one in logits]

    return Whole()


PEERS = {"pytorchcv": pytorchcv, "mmseg": mmseg}


def make_pass(job: dict[str, Any]) -> Any:
    """A forward pass, or a step of plain SGD, of a peer: what `measuring.measure` times."""
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    device, training = job["device"], job["mode"] == "train"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = job["dtype"] == "tf32"
    dtype = torch.bfloat16 if job["dtype"] == "bfloat16" else torch.float32
    network = PEERS[job["candidate"]](job["variant"], job["height"], job["width"]).train(training).to(device)
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
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):  # kernels stay in float32
            outputs = network(x)
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        losses = [nn.functional.cross_entropy(output.float(), labels) for output in outputs]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        synchronise(device)

    return step


def synchronise(device: str) -> None:
    """Wait for what a GPU still computes."""
    if device == "cuda":
        torch.cuda.synchronize()
