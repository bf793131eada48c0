"""An outside DANet: PyTorch in functional style, one file, nothing of the three packages. One line of it is wrong.

It shows what an adapter is, and that the checks find what reading hardly does: see docs/judging.md.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from danet_common import DANetConfig, read_checkpoint
from shared_tests.workers.protocol import Request, Response

SCALED_ENERGY = True  # the mistake: Transformers divide query . key by sqrt(d), DANet does not


class Pass:
    """One forward pass: the weights by their names, and what is to be remembered of it."""

    def __init__(self, config: DANetConfig, weights: dict[str, Tensor], training: bool) -> None:
        self.config = config
        self.weights = weights
        self.training = training
        self.taps: dict[str, Tensor] = {}

    def conv(self, name: str, x: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
        kernel = self.weights[f"{name}.weight"]
        padding = dilation * (kernel.shape[-1] // 2)
        return F.conv2d(x, kernel, self.weights.get(f"{name}.bias"), stride, padding, dilation)

    def norm(self, name: str, x: Tensor) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        mean, variance, scale, shift = (self.weights[f"{name}.{leaf}"] for leaf in names)
        if self.training:
            self.weights[f"{name}.num_batches_tracked"] += 1
        momentum, epsilon = self.config.batch_norm_momentum, self.config.batch_norm_epsilon
        return F.batch_norm(x, mean, variance, scale, shift, self.training, momentum, epsilon)

    def unit(self, name: str, x: Tensor) -> Tensor:
        return F.relu(self.norm(f"{name}.bn", self.conv(f"{name}.conv", x)))

    def keep(self, name: str, x: Tensor) -> Tensor:
        self.taps[name] = x
        return x


def block(net: Pass, name: str, x: Tensor, stride: int, dilation: int) -> Tensor:
    """A residual block: the 3x3 convolutions carry the dilation, the first of them the stride."""
    count = 2 if net.config.block == "basic" else 3
    strided = 1 if net.config.block == "basic" else 2
    out, short = x, x
    for i in range(1, count + 1):
        out = net.conv(f"{name}.conv{i}", out, stride if i == strided else 1, dilation if count == 2 or i == 2 else 1)
        out = net.norm(f"{name}.bn{i}", out)
        out = F.relu(out) if i < count else out
    if f"{name}.downsample.0.weight" in net.weights:
        if net.config.avg_down and stride == 2:
            short, stride = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False), 1
        short = net.norm(f"{name}.downsample.1", net.conv(f"{name}.downsample.0", short, stride))
    return F.relu(out + short)


def backbone(net: Pass, x: Tensor) -> list[Tensor]:
    """Stem and layer1 to layer4."""
    if net.config.stem == "plain":
        x = net.conv("backbone.conv1", x, 2)
    else:
        for i, stride in ((1, 2), (2, 1)):
            x = net.conv(f"backbone.conv1.conv{i}", x, stride)
            x = F.relu(net.norm(f"backbone.conv1.bn{i}", x))
        x = net.conv("backbone.conv1.conv3", x)
    x = net.keep("stem", F.relu(net.norm("backbone.bn1", x)))
    x = F.max_pool2d(x, 3, 2, 1)
    layers = []
    for layer, dilations in enumerate(net.config.block_dilations, start=1):
        for i, dilation in enumerate(dilations):
            x = block(
                net, f"backbone.layer{layer}.{i}", x, net.config.stage_strides[layer - 1] if i == 0 else 1, dilation
            )
        layers.append(net.keep(f"layer{layer}", x))
    return layers


def position_attention(net: Pass, x: Tensor) -> Tensor:
    """Every position looks at every other."""
    q, k, v = (
        net.keep(f"position_{name}", net.conv(f"head.position_attention.{name}", x)).flatten(2)
        for name in ("query", "key", "value")
    )
    scale = q.shape[1] ** -0.5 if SCALED_ENERGY else 1.0
    attention = net.keep("position_map", torch.softmax(scale * q.mT @ k, -1))
    return x + net.weights["head.position_attention.gamma"] * (v @ attention.mT).view_as(x)


def channel_attention(net: Pass, x: Tensor) -> Tensor:
    """Every channel looks at every other, at the unlike ones most."""
    flat = x.flatten(2)
    attention = net.keep("channel_map", torch.softmax(-flat @ flat.mT, -1))
    return x + net.weights["head.channel_attention.gamma"] * (attention @ flat).view_as(x)


def head(net: Pass, x: Tensor) -> dict[str, Tensor]:
    """Features to classify, by output."""
    attend = {"position": position_attention, "channel": channel_attention}
    features: dict[str, Tensor] = {}
    for name in net.config.context:
        inner = net.keep(f"{name}_in", net.unit(f"head.{name}_in", x))
        inner = net.keep(f"{name}_attention", attend[name](net, inner))
        features[name] = net.keep(f"{name}_out", net.unit(f"head.{name}_out", inner))
    if not features:
        return {"fused": net.keep("plain_out", net.unit("head.plain_out", x))}
    return {"fused": torch.stack(list(features.values())).sum(0), **features}


def resize(x: Tensor, size: torch.Size, grid: str) -> Tensor:
    """Bilinear; the asymmetric grid, which PyTorch lacks, one axis at a time."""
    if grid != "asymmetric":
        return F.interpolate(x, size, mode="bilinear", align_corners=grid == "corners")
    for axis, expected in zip((2, 3), size, strict=True):
        last = x.shape[axis] - 1
        at = torch.arange(expected, dtype=x.dtype) * x.shape[axis] / expected
        low = at.long()
        share = (at - low).reshape(-1, 1) if axis == 2 else at - low
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=last)), share)
    return x


def forward(net: Pass, x: Tensor) -> dict[str, Tensor]:
    """Logits by output, at the size of `x`."""
    config = net.config
    *_, layer3, layer4 = backbone(net, x)
    features = head(net, layer4)
    logits = {name: net.conv(f"head.{name}_classifier", features[name]) for name in config.outputs if name != "aux"}
    if config.auxiliary != "none":
        hidden = net.unit("auxiliary.hidden", layer3) if config.auxiliary == "fcn" else layer4
        logits["aux"] = net.conv("auxiliary.classifier", hidden)
    for name, value in logits.items():
        net.keep(f"{name}_logits", value)
    return {name: resize(value, x.shape[2:], config.upsample_grid) for name, value in logits.items()}


@torch.no_grad()
def run(request: Request) -> Response:
    """The adapter: everything in canonical names and layout, which here are the network's own."""
    checkpoint, dtype = read_checkpoint(request.checkpoint), getattr(torch, request.dtype)
    weights = {name: torch.from_numpy(np.array(array)) for name, array in checkpoint.tensors.items()}
    weights = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    net = Pass(checkpoint.config, weights, request.training)
    outputs = forward(net, torch.from_numpy(request.x).to(dtype))
    running = [name for name in weights if name.rpartition(".")[2].startswith(("running_", "num_batches"))]
    return Response(
        outputs={name: value.numpy() for name, value in outputs.items()},
        taps={name: net.taps[name].numpy() for name in request.taps},
        statistics={name: weights[name].numpy() for name in running} if request.training else {},
        flags={"torch": torch.__version__},
    )
