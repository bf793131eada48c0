"""torch tensors in pickles, rebuilt over the file's bytes without torch.

Source: torch/_utils.py and torch/serialization.py, torch 0.4 to 2.13. The pickle holds, for each tensor,
a storage's key and how the tensor lies in it; the storages' bytes are elsewhere in the file and are asked
for only when a tensor's values are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from danet_common.float8 import FLOAT8
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
TYPED_DTYPES: Mapping[str, np.dtype[Any]] = {  # that have no class of storages
    **{name: np.dtype(name) for name in ("uint16", "uint32", "uint64")},
    **FLOAT8,
}
STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")
MAXIMUM_DIMENSIONS = 16


@dataclass(frozen=True)
class Storage:
    """A run of `length` elements; `offset` is where it starts within the bytes kept under `key`."""

    key: str
    dtype: np.dtype[Any]
    length: int
    offset: int = 0


@dataclass(frozen=True)
class PickledTensor:
    """How a tensor lies in its storage; offset and strides in elements. `negated`: its values are those times -1."""

    storage: Storage
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negated: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the values; more than in the storage where strides repeat them."""
        return math.prod(self.shape) * self.dtype.itemsize

    def resolve(self, bytes_of: Callable[[str], np.ndarray], swapped: bool) -> np.ndarray:
        """The values. Raises ValueError where the tensor leaves its storage.

        bytes_of   a storage's bytes by key, uint8 (n,)
        swapped    whether the file's byte order is not this machine's
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
        flat = raw[: available * size].view(f"u{size}")[self.offset :]  # NumPy strides its own numbers only
        words = np.lib.stride_tricks.as_strided(
            flat, self.shape, [step * size for step in self.strides], writeable=False
        )
        view = (words.byteswap() if swapped else words).view(self.dtype)
        return np.negative(view) if self.negated else view


def storage_from_id(identity: Any) -> Storage | Opaque:
    """A persistent id ("storage", class, key, location, length[, view]). Anything else is inert."""
    if type(identity) is not tuple or len(identity) < 5 or identity[0] not in ("storage", b"storage"):
        return Opaque("persistent id")
    kind, key, _, length = identity[1:5]
    if type(key) is not str and type(key) is not int:  # torch before 0.4 wrote addresses
        raise ValueError("a storage whose key is no text")
    module, _, name = kind.name.rpartition(".") if isinstance(kind, Global) else ("", "", "")
    if name not in STORAGE_DTYPES or module not in STORAGE_MODULES:
        return Opaque(f"{module}.{name}")  # of complex or quantised numbers, perhaps, which a trainer may keep
    dtype = STORAGE_DTYPES[name]
    view = identity[5] if len(identity) > 5 else None
    if view is not None:  # (key of the view, first element, number of elements): torch before 0.4
        return Storage(str(key), dtype, _whole(view[2]), _whole(view[1]))
    return Storage(str(key), dtype, _whole(length))


def tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any = None, hooks: Any = None, flags: Any = None
) -> PickledTensor | Opaque:
    """`torch._utils._rebuild_tensor` and `_v2`; `flags` are those of `_get_tensor_metadata`, as {"neg": True}."""
    return _tensor(storage, offset, shape, strides, storage.dtype if isinstance(storage, Storage) else None, flags)


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
    """`torch._utils._rebuild_tensor_v3`: the dtype is named apart from the storage."""
    name = dtype.name.removeprefix("torch.") if isinstance(dtype, Global) else ""
    if name not in TYPED_DTYPES:
        return Opaque(f"tensor of dtype {name}")
    return _tensor(storage, offset, shape, strides, TYPED_DTYPES[name], flags)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, dtype: Any, flags: Any) -> PickledTensor | Opaque:
    if not isinstance(storage, Storage):
        return Opaque(f"tensor in a {storage.name}" if isinstance(storage, Opaque) else "tensor without a storage")
    names = {name for name, set_ in flags.items() if set_} if isinstance(flags, dict) else set()
    if not names <= {"neg"} or (names and dtype.kind in "bu"):  # a conjugate is of complex numbers, which no DANet has
        return Opaque(f"tensor with torch's flag {', '.join(sorted(map(str, names)))[:100]}")
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        raise ValueError("a tensor whose shape and strides differ in length")
    if len(shape) > MAXIMUM_DIMENSIONS:
        raise ValueError(f"a tensor of {len(shape)} dimensions")
    numbers = [_whole(number) for number in (offset, *shape, *strides)]
    return PickledTensor(
        storage,
        dtype,
        numbers[0],
        tuple(numbers[1 : len(shape) + 1]),
        tuple(numbers[len(shape) + 1 :]),
        negated=bool(names),
    )


def _whole(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 62:
        raise ValueError(f"{number if type(number) is int else type(number).__name__} is no size")
    return number


def parameter(data: Any = None, *_: Any) -> Any:
    """`torch.nn.Parameter` and its rebuild functions: the tensor itself."""
    return data


def from_type(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """`torch._tensor._rebuild_from_type_v2`: a tensor of a subclass, or with attributes."""
    known = isinstance(function, Global) and function.name in TENSORS and type(arguments) is tuple
    return TENSORS[function.name](*arguments) if known else Opaque("tensor of an unknown class")


def ordered(items: Any = ()) -> dict[Any, Any]:
    """`collections.OrderedDict`, empty or from pairs; a dict keeps their order."""
    return as_dict([part for pair in items for part in pair[:2]])


TENSORS: Mapping[str, Constructor] = {
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_tensor_v3": typed_tensor,
    "torch._utils._rebuild_parameter": parameter,
    "torch._utils._rebuild_parameter_with_state": parameter,
    "torch.nn.parameter.Parameter": parameter,
}
CONSTRUCTORS: Mapping[str, Constructor] = {
    **pickled_arrays.CONSTRUCTORS,
    **TENSORS,
    "collections.OrderedDict": ordered,
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch._tensor._rebuild_from_type_v2": from_type,
}
