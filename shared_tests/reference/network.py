"""The Dual Attention Network in float64 NumPy (Fu et al., CVPR 2019), and DRANet (TNNLS 2020), as the authors released
them.

Of the three packages and danet_common this uses only the config's own fields: strides,
dilations and channel counts are worked out here again, so that an error there cannot hide here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from danet_common.config import DANetConfig
from shared_tests.reference import operations
from shared_tests.reference.context import context
from shared_tests.reference.operations import Array


@dataclass
class Result:
    """Result of one forward pass.

    outputs     logits (N, num_classes, H, W) at input size: fused, position, channel, aux
    taps        the taps asked for, N,C,H,W; position_map is (N, HW, HW), channel_map (N, C, C)
    statistics  in training mode, every running_mean, running_var and num_batches_tracked after the step
    """

    outputs: dict[str, Array] = field(default_factory=dict)
    taps: dict[str, Array] = field(default_factory=dict)
    statistics: dict[str, NDArray[Any]] = field(default_factory=dict)


def forward(
    config: DANetConfig,
    tensors: Mapping[str, Any],
    x: Any,
    *,
    training: bool = False,
    taps: Collection[str] | str = (),
) -> Result:
    """Run the network on x (N, C, H, W). `tensors` are canonical; everything is cast to float64.

    taps: names to keep, or "all". training: normalise with the batch's statistics and update the
    running ones. Raises ValueError for training with dropout, for a missing, unused or wrongly shaped tensor
    and for an unknown tap.
    """
    if training and config.dropout_rate:
        raise ValueError(f"the reference has no dropout: training needs dropout_rate 0; got {config.dropout_rate}")
    network = Network(config, tensors, training)
    network.run(np.asarray(x, np.float64))
    unused = [name for name in tensors if name not in network.used]
    if unused:
        raise ValueError(f"tensors that this network has no place for: {', '.join(unused)}")
    result = network.result
    if taps != "all":
        unknown = [name for name in taps if name not in result.taps]
        if unknown:
            raise ValueError(f"unknown taps {', '.join(unknown)}; this network has {', '.join(result.taps)}")
        result.taps = {name: value for name, value in result.taps.items() if name in taps}
    return result


def loss(outputs: Mapping[str, Array], cotangents: Mapping[str, Array]) -> float:
    """Sum over the outputs of logits times cotangents: a scalar whose gradient checks every parameter's."""
    return sum(float(np.sum(outputs[name] * np.asarray(cotangents[name], np.float64))) for name in cotangents)


class Network:
    """One pass: takes each tensor by name, and notes what it used."""

    def __init__(self, config: DANetConfig, tensors: Mapping[str, Any], training: bool) -> None:
        self.config = config
        self.tensors = tensors
        self.training = training
        self.used: set[str] = set()
        self.result = Result()

    def run(self, x: Array) -> None:
        config, (height, width) = self.config, x.shape[2:]
        layer1, layer3, layer4 = self.backbone(x)
        low_resolution = self.head(layer4, layer1)
        if config.auxiliary == "fcn":
            hidden = self.conv_norm_relu("auxiliary.hidden", layer3, config.auxiliary_channels)
            low_resolution["aux"] = self.classify("auxiliary.classifier", hidden)
        elif config.auxiliary == "linear":
            low_resolution["aux"] = self.classify("auxiliary.classifier", layer4)
        for name, logits in low_resolution.items():
            self.keep(f"{name}_logits", logits)
            self.result.outputs[name] = operations.resize(logits, height, width, config.upsample_grid)

    # The backbone: a dilated residual network.
    def backbone(self, x: Array) -> tuple[Array, Array, Array]:
        config = self.config
        widths = config.stem_widths
        if config.stem == "plain":
            x = self.conv("backbone.conv1", x, widths[0], 7, stride=2)
        else:
            x = self.conv("backbone.conv1.conv1", x, widths[0], 3, stride=2)
            x = operations.relu(self.norm("backbone.conv1.bn1", x))
            x = self.conv("backbone.conv1.conv2", x, widths[1], 3)
            x = operations.relu(self.norm("backbone.conv1.bn2", x))
            x = self.conv("backbone.conv1.conv3", x, widths[2], 3)
        x = self.keep("stem", operations.relu(self.norm("backbone.bn1", x)))
        x = operations.max_pool(x)

        layers = []
        before = 1  # dilation of the layer before
        for layer in range(4):
            natural, taken_before = 4 * 2**layer, min(4 * 2 ** max(layer - 1, 0), config.output_stride)
            stride = min(natural, config.output_stride) // taken_before
            dilation = max(natural // config.output_stride, 1)  # a stride not taken becomes dilation
            for block in range(config.layers[layer]):
                spread = dilation
                if layer == 3 and config.multi_grid:
                    spread = dilation * config.multi_grid[block % len(config.multi_grid)]
                elif block == 0 and config.contract_dilation:
                    spread = before
                name = f"backbone.layer{layer + 1}.{block}"
                first = block == 0
                kept = first and config.avg_down_dilated and natural > config.output_stride
                x = self.block(name, x, config.widths[layer], stride if first else 1, spread, kept)
            before = dilation
            layers.append(self.keep(f"layer{layer + 1}", x))
        return layers[0], layers[2], layers[3]

    def block(self, name: str, x: Array, width: int, stride: int, dilation: int, pool_kept: bool) -> Array:
        if self.config.block == "basic":
            channels = width
            out = self.conv(f"{name}.conv1", x, width, 3, stride=stride, dilation=dilation)
            out = operations.relu(self.norm(f"{name}.bn1", out))
            out = self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", out, width, 3, dilation=dilation))
        else:
            channels = 4 * width
            out = operations.relu(self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, width, 1)))
            out = self.conv(f"{name}.conv2", out, width, 3, stride=stride, dilation=dilation)
            out = operations.relu(self.norm(f"{name}.bn2", out))
            out = self.norm(f"{name}.bn3", self.conv(f"{name}.conv3", out, channels, 1))
        if stride != 1 or x.shape[1] != channels:
            if self.config.avg_down and stride == 2:
                x, stride = operations.average_pool(x), 1
            elif self.config.avg_down and pool_kept:
                x = operations.average_pool_same(x)
            x = self.norm(f"{name}.downsample.1", self.conv(f"{name}.downsample.0", x, channels, 1, stride=stride))
        return operations.relu(out + x)

    # The head: branches with a context module each, summed or decoded.
    def head(self, x: Array, layer1: Array) -> dict[str, Array]:
        config = self.config
        deepest = config.widths[3] * {"basic": 1, "bottleneck": 4}[config.block]
        inner = config.head_channels or max(deepest // 4, 1)
        branches = {}
        for kind in config.context:
            within = self.keep(f"{kind}_in", self.conv_norm_relu(f"head.{kind}_in", x, inner))
            within = self.keep(f"{kind}_attention", context(self, kind, f"head.{kind}_attention", within))
            branches[kind] = self.keep(f"{kind}_out", self.conv_norm_relu(f"head.{kind}_out", within, inner))
        if branches:
            fused = sum(branches.values(), np.zeros(()))
        else:
            fused = self.keep("plain_out", self.conv_norm_relu("head.plain_out", x, inner))
        if config.decoder == "gating":
            side_by_side = np.concatenate(list(branches.values()) or [fused], axis=1)
            merged = self.keep("merged", self.conv_norm_relu("head.merged", side_by_side, max(inner // 2, 1)))
            fused = self.decode("head.decoder", merged, layer1)
        logits = {"fused": self.classify("head.fused_classifier", fused)}
        if config.branch_classifiers:
            for name, features in branches.items():
                logits[name] = self.classify(f"head.{name}_classifier", features)
        return logits

    def decode(self, name: str, x: Array, layer1: Array) -> Array:
        """relu(BN(W2 * relu(BN(W1 * [gain s low, high])))), s = sigmoid(w . [low, high]), high is x enlarged."""
        low = self.keep("decoder_low", self.conv_norm_relu(f"{name}.low", layer1, 32))
        high = operations.resize(x, low.shape[2], low.shape[3], self.config.upsample_grid)
        gate = operations.sigmoid(self.conv(f"{name}.gate", np.concatenate([low, high], axis=1), 1, 1, bias=True))
        self.keep("decoder_gate", gate)
        joined = np.concatenate([self.tensor(f"{name}.gain", (1,)) * gate * low, high], axis=1)
        joined = self.keep("decoder_joined", self.conv_norm_relu(f"{name}.joined", joined, x.shape[1]))
        return self.keep("decoder_out", self.conv_norm_relu(f"{name}.out", joined, x.shape[1]))

    # The parts.
    def classify(self, name: str, x: Array) -> Array:
        return self.conv(name, x, self.config.num_classes, 1, bias=True)

    def conv_norm_relu(self, name: str, x: Array, channels: int) -> Array:
        return operations.relu(self.norm(f"{name}.bn", self.conv(f"{name}.conv", x, channels, 3)))

    def conv(
        self, name: str, x: Array, channels: int, size: int, stride: int = 1, dilation: int = 1, bias: bool = False
    ) -> Array:
        """A convolution whose padding keeps the map's size at stride 1."""
        weight = self.tensor(f"{name}.weight", (channels, x.shape[1], size, size))
        offset = self.tensor(f"{name}.bias", (channels,)) if bias else None
        return operations.convolve(x, weight, offset, stride, dilation * (size // 2), dilation)

    def norm(self, name: str, x: Array) -> Array:
        """Batch normalisation; the running variance is the unbiased estimate, as torch keeps it."""
        shape = x.shape[1:2]
        scale, shift = self.tensor(f"{name}.weight", shape), self.tensor(f"{name}.bias", shape)
        mean, variance = self.tensor(f"{name}.running_mean", shape), self.tensor(f"{name}.running_var", shape)
        count = self.tensor(f"{name}.num_batches_tracked", ())
        if self.training:
            momentum, (batch_mean, batch_variance, samples) = self.config.batch_norm_momentum, operations.moments(x)
            if samples == 1:
                raise ValueError(f"{name}: training needs more than one value per channel; got input {x.shape}")
            unbiased = batch_variance * (samples / (samples - 1))
            self.result.statistics[f"{name}.running_mean"] = (1 - momentum) * mean + momentum * batch_mean
            self.result.statistics[f"{name}.running_var"] = (1 - momentum) * variance + momentum * unbiased
            self.result.statistics[f"{name}.num_batches_tracked"] = np.asarray(count + 1, np.int64)
            mean, variance = batch_mean, batch_variance
        return operations.normalise(x, mean, variance, scale, shift, self.config.batch_norm_epsilon)

    def tensor(self, name: str, shape: tuple[int, ...]) -> Array:
        if name not in self.tensors:
            raise ValueError(f"missing tensor {name}, expected with shape {shape}")
        array = np.asarray(self.tensors[name], np.float64)
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
        self.used.add(name)
        return array

    def energy(self, value: Array) -> Array:
        """An energy, or what goes into a softmax of it; a network that rounds both can be made of this one."""
        return value

    def keep(self, name: str, value: Array) -> Array:
        self.result.taps[name] = value
        return value
