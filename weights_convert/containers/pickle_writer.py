"""Write pickles of plain values and arrays. `pickle.Pickler` would import torch and name NumPy's private modules.

`torch.load(weights_only=True)` accepts every instruction used here. Equal values give equal bytes.
Source: `torch.save` of torch 2.13, protocol 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from danet_common import CheckpointError
from weights_convert.containers.pickled_tensors import STORAGE_DTYPES
from weights_convert.containers.zip_archive import Buffer

STORAGE_NAMES = {dtype: name for name, dtype in STORAGE_DTYPES.items() if name != "UntypedStorage"}
DICT = b"}"
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


def write_pickle(value: Mapping[str, Any]) -> tuple[bytes, list[np.ndarray]]:
    """Return torch's pickle of a dictionary, and its arrays in the order of their storage keys "0", "1", ...

    The innermost dictionaries of arrays become OrderedDicts, like a state dict. Raise CheckpointError for a
    dtype that torch does not have.
    """
    arrays: list[np.ndarray] = []

    def tensor(array: np.ndarray) -> Iterator[bytes]:
        """Encode a contiguous tensor: (storage, offset, size, strides, requires_grad, hooks)."""
        if array.dtype not in STORAGE_NAMES:
            raise CheckpointError(f"torch has no dtype {array.dtype}. Choose another with --dtype")
        kind = f"ctorch\n{STORAGE_NAMES[array.dtype]}\n".encode()
        storage = text("storage") + kind + text(str(len(arrays))) + text("cpu") + whole(array.size)
        strides = [int(np.prod(array.shape[axis + 1 :], dtype=np.int64)) for axis in range(array.ndim)]
        yield TENSOR + b"((" + storage + b"tQ" + whole(0) + sizes(array.shape) + sizes(strides)
        yield b"\x89" + ORDERED_DICT + b"tR"
        arrays.append(array)

    return b"".join([b"\x80\x02", *encode(value, tensor, ORDERED_DICT), b"."]), arrays


def encode(value: Any, array: Callable[[np.ndarray], Iterator[Buffer]], state_dict: bytes = DICT) -> Iterator[Buffer]:
    """Yield the instructions that build a value.

    value       nested dictionaries by text, lists, tuples, texts, 64-bit integers, floats, booleans, None and arrays
    array       function that yields the instructions of an array
    state_dict  instructions that make an empty dictionary of arrays
    """
    if isinstance(value, np.ndarray):
        yield from array(value)
    elif isinstance(value, Mapping):
        yield state_dict if any(isinstance(item, np.ndarray) for item in value.values()) else DICT
        yield b"("
        for key, item in value.items():
            yield text(key)
            yield from encode(item, array, state_dict)
        yield b"u"
    elif isinstance(value, list | tuple):
        yield b"](" if isinstance(value, list) else b"("
        for item in value:
            yield from encode(item, array, state_dict)
        yield b"e" if isinstance(value, list) else b"t"
    elif value is None:
        yield b"N"
    elif isinstance(value, bool):
        yield b"\x88" if value else b"\x89"
    elif isinstance(value, str):
        yield text(value)
    elif isinstance(value, float):
        yield b"G" + struct.pack(">d", value)
    else:
        yield whole(value)


def text(value: str) -> bytes:
    """Encode a text as BINUNICODE."""
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def whole(number: int) -> bytes:
    """Encode an integer as BININT or LONG1, the shorter of the two."""
    if -(1 << 31) <= number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    raw = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + struct.pack("<B", len(raw)) + raw


def sizes(numbers: Iterable[int]) -> bytes:
    """Encode a tuple of integers."""
    return b"(" + b"".join(whole(number) for number in numbers) + b"t"
