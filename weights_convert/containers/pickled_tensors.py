"""Rebuild the torch tensors of a pickle over the file's bytes, without torch.

For each tensor the pickle has the key of a storage, an offset, a shape and strides. The bytes of the storages
lie outside the pickle and are read only with a tensor's values.
Source: torch/_utils.py and torch/serialization.py, torch 0.4 to 2.13.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from danet_common.checkpoint.float8 import FLOAT8
from weights_convert.containers import pickled_arrays
from weights_convert.containers.pickle_reader import Constructor, Global, Opaque, as_dict

STORAGE_DTYPES: Mapping[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
    "UntypedStorage": np.dtype(np.uint8),
}
TYPED_DTYPES: Mapping[str, np.dtype[Any]] = {  # dtypes without a storage class
    **{name: np.dtype(name) for name in ("uint16", "uint32", "uint64")},
    **FLOAT8,
}
STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")
MAXIMUM_DIMENSIONS = 16
SHARDED = "tensor of which this file has a process's part. Save full_tensor(), or use torch.distributed.checkpoint"


@dataclass(frozen=True)
class Storage:
    """A torch storage of `length` elements; it starts at element `offset` of the bytes under `key`."""

    key: str
    dtype: np.dtype[Any]
    length: int
    offset: int = 0


@dataclass(frozen=True)
class PickledTensor:
    """A tensor in its storage, with offset and strides in elements. `negated`: multiply the values by -1."""

    storage: Storage
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negated: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the values; strides of 0 can make them more than the storage has."""
        return math.prod(self.shape) * self.dtype.itemsize

    def resolve(self, bytes_of: Callable[[str], np.ndarray], swapped: bool) -> np.ndarray:
        """Return the values. Raise ValueError if the tensor reaches beyond its storage.

        bytes_of   key -> bytes of a storage, uint8 (n,)
        swapped    True if the file's byte order is not native
        """
        size = self.dtype.itemsize
        start = self.storage.offset * self.storage.dtype.itemsize
        raw = bytes_of(self.storage.key)[start : start + self.storage.length * self.storage.dtype.itemsize]
        available = raw.size // size
        count = math.prod(self.shape)
        if count == 0:
            return np.empty(self.shape, self.dtype)
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if last >= available:
            raise ValueError(f"a tensor {list(self.shape)} reaches beyond its storage of {available} elements")
        flat = raw[: available * size].view(f"u{size}")[self.offset :]  # as_strided takes NumPy's own dtypes only
        words = np.lib.stride_tricks.as_strided(
            flat, self.shape, [step * size for step in self.strides], writeable=False
        )
        view = (words.byteswap() if swapped else words).view(self.dtype)
        return np.negative(view) if self.negated else view


def storage_from_id(identity: Any) -> Storage | Opaque:
    """Return the storage of a persistent id ("storage", class, key, location, length[, view]); else inert."""
    if type(identity) is not tuple or len(identity) < 5 or identity[0] not in ("storage", b"storage"):
        return Opaque("persistent id")
    kind, key, _, length = identity[1:5]
    if type(key) is not str and type(key) is not int:  # torch before 0.4 wrote addresses
        raise ValueError("the key of a storage is not text")
    module, _, name = kind.name.rpartition(".") if isinstance(kind, Global) else ("", "", "")
    if name not in STORAGE_DTYPES or module not in STORAGE_MODULES:
        return Opaque(f"{module}.{name}")  # complex or quantised, for example; trainers may store them
    dtype = STORAGE_DTYPES[name]
    view = identity[5] if len(identity) > 5 else None
    if view is not None:  # (key of the view, first element, number of elements): torch before 0.4
        return Storage(str(key), dtype, _whole(view[2]), _whole(view[1]))
    return Storage(str(key), dtype, _whole(length))


def tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    gradient: Any = None,
    hooks: Any = None,
    flags: Any = None,
    *,
    dtype: np.dtype[Any] | None = None,
) -> PickledTensor | Opaque:
    """Stand-in for `torch._utils._rebuild_tensor` and `_v2`; `flags` is like {"neg": True}."""
    if not isinstance(storage, Storage):
        return Opaque(f"tensor in a {storage.name}" if isinstance(storage, Opaque) else "tensor without a storage")
    dtype = storage.dtype if dtype is None else dtype
    names = {name for name, set_ in flags.items() if set_} if isinstance(flags, dict) else set()
    if not names <= {"neg"} or (names and dtype.kind in "bu"):  # the other flag is conjugation
        return Opaque(f"tensor with torch's flag {', '.join(sorted(map(str, names)))[:100]}")
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        raise ValueError("shape and strides of a tensor differ in length")
    if len(shape) > MAXIMUM_DIMENSIONS:
        raise ValueError(f"a tensor of {len(shape)} dimensions")
    sizes, steps = tuple(map(_whole, shape)), tuple(map(_whole, strides))
    return PickledTensor(storage, dtype, _whole(offset), sizes, steps, negated=bool(names))


def typed_tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    gradient: Any,
    hooks: Any,
    dtype: Any,
    flags: Any = None,
) -> PickledTensor | Opaque:
    """Stand-in for `torch._utils._rebuild_tensor_v3`, which names the dtype apart from the storage."""
    name = dtype.name.removeprefix("torch.") if isinstance(dtype, Global) else ""
    if name not in TYPED_DTYPES:
        return Opaque(f"tensor of dtype {name}")
    return tensor(storage, offset, shape, strides, flags=flags, dtype=TYPED_DTYPES[name])


def _whole(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 62:
        raise ValueError(f"{number if type(number) is int else type(number).__name__} is not a valid size")
    return number


def from_type(function: Any, kind: Any, arguments: Any, state: Any = None, *_: Any) -> Any:
    """Stand-in for `torch._tensor._rebuild_from_type_v2`: a tensor of a subclass or with attributes."""
    states = state if type(state) is tuple else (state,)  # attributes, and those of slots
    local = next((each["_local_tensor"] for each in states if type(each) is dict and "_local_tensor" in each), None)
    if isinstance(local, PickledTensor) and type(arguments) is tuple:  # a DTensor: class, dtype, shape, ...
        return local if local.shape == arguments[2] else Opaque(SHARDED)
    known = isinstance(function, Global) and function.name in TENSORS and type(arguments) is tuple
    return TENSORS[function.name](*arguments) if known else Opaque("tensor of an unknown class")


TENSORS: Mapping[str, Constructor] = {
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_tensor_v3": typed_tensor,
    "torch._utils._rebuild_parameter": lambda data=None, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data=None, *_: data,
    "torch.nn.parameter.Parameter": lambda data=None, *_: data,
}
CONSTRUCTORS: Mapping[str, Constructor] = {
    **pickled_arrays.CONSTRUCTORS,
    **TENSORS,
    "collections.OrderedDict": lambda items=(): as_dict([part for pair in items for part in pair[:2]]),
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch._tensor._rebuild_from_type_v2": from_type,
}
