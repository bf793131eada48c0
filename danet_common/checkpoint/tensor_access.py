"""Access to the tensors of live networks by canonical name: a table of leaves, and no table of names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from danet_common.checkpoint import Checkpoint, CheckpointError
from danet_common.checkpoint.parameter_layouts import TORCH, from_channels_last, to_channels_last
from danet_common.checkpoint.prefetch import prefetch
from danet_common.config.tensors import Kind, Parameter
from danet_common.numerics.folding import tensors_for
from danet_common.numerics.initialisation import drawn, initial_tensors

Leaves = Iterable[tuple[Parameter, Any]]


def own_kinds(module: Any) -> tuple[Kind, ...]:
    """Return the kinds of the tensors that a module holds itself."""
    kinds: tuple[Kind, ...] = getattr(module, "tensor_kinds", ())
    return kinds


class TensorAccess:
    """Functions on the tensors of one package's modules.

    names         kind -> attribute of a module, one of the tables in `parameter_layouts`
    walk          yields a prefix of names and a module, for all modules within one, in order
    get_leaf      returns one tensor as an array in the framework's layout
    set_leaf      copies one such array into its tensor
    kinds         returns the kinds of the tensors that a module holds itself
    """

    def __init__(
        self,
        names: Mapping[Kind, str],
        walk: Callable[[Any], Iterator[tuple[str, Any]]],
        get_leaf: Callable[[Any], np.ndarray],
        set_leaf: Callable[[Any, np.ndarray], None],
        kinds: Callable[[Any], tuple[Kind, ...]] = own_kinds,
    ) -> None:
        self.names, self.channels_last = names, names is not TORCH
        self.walk, self.get_leaf, self.set_leaf, self.kinds = walk, get_leaf, set_leaf, kinds

    def network_in(self, model: Any) -> Any:
        """Return the network in a wrapper or in a larger model; a network as it is.

        Raises TypeError unless the model has exactly one network.
        """
        networks = self.networks_in(model)
        if len(networks) != 1:
            raise TypeError(f"{type(model).__name__} must have one DANet in it; it has {len(networks)}")
        return networks[0]

    def networks_in(self, model: Any) -> list[Any]:
        """Return the networks in a model, each once. A network is a module with a layer set."""
        return [module for _, module in self.walk(model) if "layer_set" in getattr(module, "__dict__", ())]

    def named_parameters(self, model: Any) -> Iterator[tuple[Parameter, Any]]:
        """Yield every tensor of a module with its canonical name, shape and kind, in the module's order.

        Names in a wrapper of a network are those of the network.
        """
        networks = self.networks_in(model)
        for prefix, module in self.walk(networks[0] if len(networks) == 1 else model):
            yield from self.own_leaves(module, prefix)

    def own_leaves(self, module: Any, prefix: str) -> Iterator[tuple[Parameter, Any]]:
        """Yield the tensors that a module holds itself, by names with this prefix; a folded BatchNorm holds none."""
        for kind in self.kinds(module):
            leaf = getattr(module, self.names[kind], None)
            if leaf is not None:
                shape = tuple(leaf.shape)
                if kind == "kernel" and self.channels_last:
                    shape = tuple(shape[axis] for axis in (3, 2, 0, 1))
                yield Parameter(f"{prefix}{TORCH[kind]}", shape, kind), leaf

    def initialise(self, network: Any, seed: int = 0) -> None:
        """Fill a network with the weights that training starts from; the same in every framework and layer set."""
        checkpoint = Checkpoint(network.config, initial_tensors(network.config, seed))
        self.set_tensors(network, tensors_for(network.layer_set, checkpoint))

    def draw(self, leaves: Leaves, seed: int | None) -> None:
        """Draw these tensors; without a seed kernels and biases become 0. PyTorch's meta tensors stay."""
        table = {parameter: leaf for parameter, leaf in leaves if not getattr(leaf, "is_meta", False)}
        tensors = drawn({parameter.name: parameter for parameter in table}, seed)
        for parameter, leaf in table.items():
            self.write(parameter, leaf, tensors[parameter.name])

    def get_tensors(self, model: Any) -> dict[str, np.ndarray]:
        """Return canonical name -> array, in canonical layout and the dtype of the network."""
        return {parameter.name: self.read(parameter, leaf) for parameter, leaf in self.named_parameters(model)}

    def set_tensors(self, model: Any, tensors: Mapping[str, np.ndarray]) -> None:
        """Fill every tensor of the module, cast to its dtype. Raises CheckpointError unless the names are the same."""
        leaves = {parameter.name: (parameter, leaf) for parameter, leaf in self.named_parameters(model)}
        if leaves.keys() != tensors.keys():
            differing = ", ".join(sorted(leaves.keys() ^ tensors.keys()))
            raise CheckpointError(f"the tensors are not those of this module: {differing}")
        for name, array in prefetch(tensors, leaves):
            parameter, leaf = leaves[name]
            self.write(parameter, leaf, array)

    def read(self, parameter: Parameter, leaf: Any) -> np.ndarray:
        """Return one tensor in canonical layout."""
        array = self.get_leaf(leaf)
        return from_channels_last(parameter, array) if self.channels_last else array

    def write(self, parameter: Parameter, leaf: Any, array: np.ndarray) -> None:
        """Copy one array in canonical layout into its tensor."""
        self.set_leaf(leaf, to_channels_last(parameter, array) if self.channels_last else array)
