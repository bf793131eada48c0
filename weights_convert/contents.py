"""What a file holds, as a format's reader hands it over and before a schema has named it canonically."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from danet_common import CheckpointError
from danet_common.checkpoint import require_name
from danet_common.safetensors_header import LARGEST_EMPTY

OBJECT = "a pickled object of class"  # begins what a value is that no reader makes


class Described(Protocol):
    """A tensor whose values may still lie in the file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...


class Unread(Mapping[str, np.ndarray]):
    """Tensors of a file by name; the values of each are read when it is asked for, and not kept."""

    def __init__(self, headers: Mapping[str, Any], read: Callable[[str], np.ndarray]) -> None:
        self.headers: Mapping[str, Described] = headers
        self._read = read

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read(name)

    def __contains__(self, name: object) -> bool:
        return name in self.headers  # nothing is read for that

    def __iter__(self) -> Iterator[str]:
        return iter(self.headers)

    def __len__(self) -> int:
        return len(self.headers)


def headers_of(tensors: Mapping[str, np.ndarray]) -> Mapping[str, Described]:
    """Return the shapes and dtypes of a file's tensors, without reading their values."""
    return tensors.headers if isinstance(tensors, Unread) else tensors


@dataclass
class Contents:
    """The tensors of one file.

    tensors     name -> array. The name of one within other dictionaries begins with their keys: `state_dict.a.weight`.
                Readers of Keras and Flax files have already given canonical names and layout
    others      name -> what is there, of all that is no tensor
    holders     name -> how all names in the same dictionary begin; "" where it is not there
    passengers  tensors that canonical files carry along
    manifest    JSON text of a danet manifest, where the file has one
    config      fields of the config that the file states itself (Keras's config.json), where it does
    remarks     what an owner's file says beside its tensors, as plain values
    notes       what the reader left out, for the user
    nameless    averages that the file has without names, and how to get them; "" where it has none
    """

    tensors: Mapping[str, np.ndarray]
    others: Mapping[str, str] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    extra_tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    manifest: str | None = None
    config: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    nameless: str = ""

    def __post_init__(self) -> None:
        """Refuse what no owner's file holds and what would mislead whoever reads a message about it."""
        for name, tensor in (*headers_of(self.tensors).items(), *headers_of(self.extra_tensors).items()):
            require_name(name)
            if 0 in tensor.shape and max(tensor.shape) > LARGEST_EMPTY:
                raise CheckpointError(f"the tensor {name} of shape {list(tensor.shape)} is empty; the file is damaged")


def refuse_others(
    others: Mapping[str, str], holders: Mapping[str, str], weights: Iterable[str], prefix: str = ""
) -> None:
    """Raise CheckpointError for what lies among the weights and is no tensor.

    weights  names in the file; the dictionaries that hold them must hold nothing else under `prefix`
    """
    own = set(weights)
    holding = {holders.get(name, "") for name in own}
    stray = [
        f"{name.removeprefix(holders[name])}: {what}"
        for name, what in others.items()
        if holders[name] in holding and name.startswith(prefix) and not any(key.startswith(f"{name}.") for key in own)
    ]
    if stray:
        listed = "\n  ".join(stray)
        raise CheckpointError(f"{len(stray)} entries of its state dict are no tensors:\n  {listed}")
