"""The layer sets that have a name: see danet_common.config.layer_names; and convolutions with BatchNorm folded in."""

from __future__ import annotations

import functools
from dataclasses import replace
from functools import partial
from typing import Any

import keras
from jaxtyping import Float
from keras import KerasTensor as Tensor
from keras import ops

from danet_common.config import DANetConfig
from danet_common.config.layer_names import resolve_layers
from danet_common.config.layer_set import LayerSet
from danet_common.numerics.precision import FLOAT32, Precision, get_precision
from danet_common.numerics.winograd import is_eligible
from danet_tf.accelerated.attention import MemoryEfficientAttention
from danet_tf.accelerated.remat import remat
from danet_tf.accelerated.winograd import WinogradConv
from danet_tf.module import Module
from danet_tf.primitives import PLAIN, BatchNorm, Conv

# What each layer set with a name was made of: its name, its precision's, and BatchNorm's epsilon and momentum.
DESCRIPTIONS: dict[LayerSet, tuple[str, str, float, float]] = {PLAIN: ("plain", FLOAT32.name, 1e-5, 0.1)}


@keras.saving.register_keras_serializable("danet")
class FoldedNorm(Module):
    """In the place of BatchNorm: the convolution before it has its factors and its shift."""

    def __init__(self, channels: int, *, dtype: str = "float32") -> None:
        super().__init__()

    def call(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        return x


def folded_conv(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, bias: bool = True, **options: Any
) -> Conv:
    """Return a convolution with a bias, by Winograd's transforms where its sizes may gain from them."""
    eligible = is_eligible(kernel_size, stride, min(in_channels, out_channels))
    kind = WinogradConv if eligible else Conv
    return kind(in_channels, out_channels, kernel_size, stride=stride, bias=True, **options)


def get_layers(layers: LayerSet | str, config: DANetConfig, precision: Precision) -> LayerSet:
    """Return the layer set of a name, for networks of this config; a LayerSet as it is.

    `auto` means the device on which Keras makes a tensor now. Raises ValueError for an unknown name, TypeError for
    neither.
    """
    if isinstance(layers, LayerSet):
        return layers
    name = resolve_layers(layers, precision, device() if layers == "auto" else "")
    return named_layers(name, precision, config.batch_norm_epsilon, config.batch_norm_momentum)


def plain_layers(precision: Precision = FLOAT32, epsilon: float = 1e-5, momentum: float = 0.1) -> LayerSet:
    """Return the layers as they are written, in other dtypes, or with another BatchNorm."""
    return named_layers("plain", precision, epsilon, momentum)


@functools.cache
def named_layers(name: str, precision: Precision, epsilon: float, momentum: float) -> LayerSet:
    """Return the one layer set of a name with these dtypes and this BatchNorm."""
    layers = LayerSet(
        precision=precision,
        conv=partial(Conv, dtype=precision.name),  # which Keras also tells what the layer computes in
        norm=partial(BatchNorm, epsilon=epsilon, momentum=momentum, dtype=precision.accumulate_dtype),
    )
    if name != "plain":
        layers = replace(layers, name=name, attention=MemoryEfficientAttention)
    if name == "remat":
        layers = replace(layers, remat=remat)
    if name == "cpu_inference":
        conv, norm = partial(folded_conv, dtype=precision.name), partial(FoldedNorm, dtype=precision.accumulate_dtype)
        layers = replace(layers, conv=conv, norm=norm, trainable=False)
    DESCRIPTIONS[layers] = name, precision.name, epsilon, momentum
    return layers


def device() -> str:
    """Return "cpu", or "accelerator" where Keras puts tensors on another device."""
    return "cpu" if "cpu" in str(ops.zeros(()).device).lower() else "accelerator"


def describe_layers(layers: LayerSet) -> list[Any]:
    """Return what Keras writes to a file for a layer set. Raises ValueError for one that has no name."""
    if layers not in DESCRIPTIONS:
        names = "danet_tf.save writes the weights of any network, and Keras writes a network whose layers have a name"
        raise ValueError(f"Keras cannot write a LayerSet of your own: {names}")
    return list(DESCRIPTIONS[layers])


def described_layers(description: list[Any]) -> LayerSet:
    """Return the layer set that `describe_layers` described."""
    name, dtype, epsilon, momentum = description
    return named_layers(name, get_precision(dtype), epsilon, momentum)
