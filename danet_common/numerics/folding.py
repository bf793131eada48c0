"""BatchNorm folded into the convolution before it: the same network in inference, with fewer passes over memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from danet_common.checkpoint import Checkpoint
from danet_common.config.parameters import parameters


def tensors_for(layers: Any, checkpoint: Checkpoint) -> Mapping[str, np.ndarray]:
    """Return the tensors of a checkpoint as a layer set holds them; layers that cannot be trained have no BatchNorm.

    layers  a LayerSet of any of the three packages
    """
    return checkpoint.tensors if layers.trainable else FoldedTensors(checkpoint, layers.precision.accumulate_dtype)


class FoldedTensors(Mapping[str, np.ndarray]):
    """The tensors of a network without BatchNorm, by canonical name, each made when it is asked for.

    weight * factor, shift + (bias - mean) * factor,   factor = scale / sqrt(variance + epsilon)

    Every convolution has a bias, of zeros where it had neither bias nor BatchNorm. Computed in float64 and returned in
    `dtype`, that of BatchNorm: at least float32.
    """

    def __init__(self, checkpoint: Checkpoint, dtype: str) -> None:
        self.tensors, self.dtype = checkpoint.tensors, dtype
        self.epsilon = checkpoint.config.batch_norm_epsilon
        self.channels: dict[str, int] = {}  # convolution -> what it has of outputs
        self.norms: dict[str, str] = {}  # convolution -> the BatchNorm that follows it
        self.names: dict[str, None] = {}
        convolution = ""
        for parameter in parameters(checkpoint.config).values():
            module = parameter.name.rpartition(".")[0]
            if parameter.kind == "kernel":
                convolution = module
                self.channels[convolution] = parameter.shape[0]
                self.names[f"{convolution}.bias"] = None
            if parameter.kind == "scale":
                self.norms[convolution] = module
            if not parameter.is_norm:
                self.names[parameter.name] = None

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        module, _, leaf = name.rpartition(".")
        if module not in self.channels:
            return self.tensors[name]
        norm = self.norms.get(module)
        if leaf == "weight":
            kernel = self.tensors[name]
            return kernel if norm is None else scaled(kernel, self.factor(norm), self.dtype)
        bias = self.tensors[name] if name in self.tensors else np.zeros(self.channels[module], self.dtype)
        if norm is None:
            return bias
        shift, mean = (self.tensors[f"{norm}.{leaf}"].astype(np.float64) for leaf in ("bias", "running_mean"))
        return (shift + (bias.astype(np.float64) - mean) * self.factor(norm)).astype(self.dtype)

    def factor(self, norm: str) -> np.ndarray:
        """Return the factor of each channel of a BatchNorm."""
        scale, variance = (self.tensors[f"{norm}.{leaf}"].astype(np.float64) for leaf in ("weight", "running_var"))
        return scale / np.sqrt(variance + self.epsilon)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def scaled(kernel: np.ndarray, factor: np.ndarray, dtype: str) -> np.ndarray:
    """Return a kernel times a factor for each output channel, in float64, a few channels at a time to use the cache."""
    product = np.empty(kernel.shape, dtype)
    step = max(1, (1 << 16) // kernel[0].size)
    for first in range(0, len(kernel), step):
        block = slice(first, first + step)
        product[block] = kernel[block].astype(np.float64) * factor[block, None, None, None]
    return product
