"""What every module with tensors of its own is made of: their kinds, their initial values, and arrays in and out."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import numpy as np

from danet_common.checkpoint import CheckpointError
from danet_common.config import DANetConfig
from danet_common.drawing import current_part, is_postponed
from danet_common.initialisation import drawn
from danet_common.leaves import KERAS as LEAVES
from danet_common.leaves import TORCH, contiguous, to_channels_last
from danet_common.numerics import Numerics
from danet_common.parameters import Kind, Parameter


class Module(keras.layers.Layer):
    """A module with tensors of its own; built at once, for all shapes are known, and casting nothing.

    kinds  of those tensors; all others are in modules within
    part   of the network that it stands in, as the start of its tensors' names; it decides their distribution
    """

    kinds: ClassVar[tuple[Kind, ...]] = ()

    def __init__(self, numerics: Numerics, **arguments: Any) -> None:
        super().__init__(dtype=numerics.policy, autocast=False)
        self.part = current_part()
        self.numerics = numerics
        self.arguments = arguments

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"numerics": list(self.numerics), **self.arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Module:
        arguments = {**config, "numerics": Numerics(*config["numerics"])}
        if "config" in arguments:
            arguments["config"] = DANetConfig.from_dict(arguments["config"])
        return cls(**arguments)

    def reset_parameters(self) -> None:
        """Draw its own tensors anew, by the distribution that they start with in the network.

        Does nothing within `danet_common.drawing.postponed`.
        """
        leaves = list(own_leaves(self, self.part))
        if leaves and not is_postponed():
            tensors = drawn({parameter.name: parameter for parameter, _ in leaves}, fresh_seed())
            for parameter, leaf in leaves:
                set_leaf(leaf, to_channels_last(parameter, tensors[parameter.name]))


def own_leaves(module: keras.layers.Layer | list, prefix: str) -> Iterator[tuple[Parameter, keras.Variable]]:
    """The tensors that a module holds itself, by names that start with `prefix`; a folded BatchNorm holds none."""
    for kind in getattr(module, "kinds", ()):
        leaf = getattr(module, LEAVES[kind], None)
        if leaf is not None:
            shape = tuple(leaf.shape) if kind != "kernel" else tuple(leaf.shape[axis] for axis in (3, 2, 0, 1))
            yield Parameter(f"{prefix}{TORCH[kind]}", shape, kind), leaf


def fresh_seed() -> int:
    """Return a new seed from the framework's own generator."""
    return random.randrange(2**63 - 1)  # as Keras's own layers do: `keras.utils.set_random_seed` decides it


def get_leaf(leaf: keras.Variable) -> np.ndarray:
    """One tensor as an array."""
    array = keras.ops.convert_to_numpy(leaf)
    return array.astype(np.int64) if array.dtype == np.int32 else array  # counters: JAX holds 32 bits


def set_leaf(leaf: keras.Variable, array: np.ndarray) -> None:
    """Copy one array into its tensor."""
    if array.shape != tuple(leaf.shape):
        raise CheckpointError(f"a tensor of shape {array.shape} does not fit one of shape {tuple(leaf.shape)}")
    leaf.assign(contiguous(array, np.dtype(keras.backend.standardize_dtype(leaf.dtype))))
