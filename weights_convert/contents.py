"""Tensors and metadata of a file under its own names, as a format's reader returns them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from danet_common import CheckpointError
from danet_common.checkpoint.canonical import EXTRA_TENSOR, require_name
from danet_common.checkpoint.safetensors_header import LARGEST_EMPTY

OBJECT = "a pickled object of class"  # prefix that marks a value which no reader builds


class Described(Protocol):
    """Shape and dtype of a tensor whose values may still be in the file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...


class Unread(Mapping[str, np.ndarray]):
    """Tensors of a file by name. Access reads the values; nothing is cached."""

    def __init__(self, headers: Mapping[str, Any], read: Callable[[str], np.ndarray]) -> None:
        self.headers: Mapping[str, Described] = headers
        self._read = read

    def __getitem__(self, name: str) -> np.ndarray:
        return self._read(name)

    def __contains__(self, name: object) -> bool:
        return name in self.headers  # without a read

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

    tensors        name -> array. Names of nested tensors are dotted paths of keys: `state_dict.a.weight`.
                   The readers of Keras and Flax files return canonical names and layout
    others         name -> description of each value that is not a tensor
    holders        name -> prefix of all names in the same dictionary; absent means ""
    extra_tensors  tensors of a canonical file that the network does not use
    manifest       JSON text of a danet manifest; None if the file has none
    config         config fields of the file itself (Keras's config.json); None if it has none
    metadata       plain values of an upstream file beside its tensors
    notes          lines for the user about parts that the reader left out
    """

    tensors: Mapping[str, np.ndarray]
    others: Mapping[str, str] = field(default_factory=dict)
    holders: Mapping[str, str] = field(default_factory=dict)
    extra_tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    manifest: str | None = None
    config: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise CheckpointError for invalid names, and for empty tensors with a huge dimension."""
        for name, tensor in (*headers_of(self.tensors).items(), *headers_of(self.extra_tensors).items()):
            require_name(name)
            if 0 in tensor.shape and max(tensor.shape) > LARGEST_EMPTY:
                raise CheckpointError(f"the tensor {name} of shape {list(tensor.shape)} is empty; the file is damaged")


def canonical_contents(arrays: Mapping[str, np.ndarray], manifest: str) -> Contents:
    """Return the contents of a canonical file, whose extra tensors have a prefix."""
    extra = {name for name in arrays if name.startswith(EXTRA_TENSOR)}
    return Contents(
        tensors={name: array for name, array in arrays.items() if name not in extra},
        extra_tensors={name.removeprefix(EXTRA_TENSOR): arrays[name] for name in arrays if name in extra},
        manifest=manifest,
    )
