"""The layer sets that have a name: see danet_common.config.layer_names; and convolutions with BatchNorm folded in."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from danet_common.config import DANetConfig
from danet_common.config.layer_names import resolve_layers
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.precision import FLOAT32, Precision
from danet_common.numerics.winograd import is_eligible
from danet_torch.accelerated.attention import MemoryEfficientAttention
from danet_torch.accelerated.remat import remat
from danet_torch.accelerated.winograd import WinogradConv
from danet_torch.primitives import BatchNorm, Conv


class FoldedNorm(nn.Identity):
    """In the place of BatchNorm: the convolution before it has its factors and its shift."""


def folded_conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, bias: bool = True, **options: Any
) -> Conv:
    """Return a convolution with a bias, by Winograd's transforms where its sizes may gain from them."""
    eligible = is_eligible(kernel_size, stride, min(in_channels, out_channels))
    kind = WinogradConv if eligible else Conv
    return kind(in_channels, out_channels, kernel_size, stride=stride, bias=True, **options)


def get_layers(layers: LayerSet | str, config: DANetConfig, precision: Precision) -> LayerSet:
    """Return the layer set of a name, for networks of this config; a LayerSet as it is.

    `auto` means the GPU where PyTorch sees one. Raises ValueError for an unknown name, TypeError for neither.
    """
    if isinstance(layers, LayerSet):
        return layers
    name = resolve_layers(layers, precision, "cuda" if torch.cuda.is_available() else "cpu")
    plain = plain_layers(precision, config.batch_norm_epsilon, config.batch_norm_momentum)
    if name == "plain":
        return plain
    efficient = replace(plain, name=name, attention=MemoryEfficientAttention)
    if name == "remat":
        return replace(efficient, remat=remat)
    if name == "cpu_inference":
        conv = partial(folded_conv, dtype=precision.param_dtype)
        return replace(efficient, conv=conv, norm=FoldedNorm, trainable=False)
    return efficient


def plain_layers(precision: Precision = FLOAT32, epsilon: float = 1e-5, momentum: float = 0.1) -> LayerSet:
    """Return the layers as they are written, in other dtypes, or with another BatchNorm."""
    return LayerSet(
        precision=precision,
        conv=partial(Conv, dtype=precision.param_dtype),
        norm=partial(BatchNorm, epsilon=epsilon, momentum=momentum, dtype=precision.accumulate_dtype),
    )
