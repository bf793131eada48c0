"""Write the pickle of a torch checkpoint, protocol 2, without torch.

`torch.load(weights_only=True)` accepts every instruction used here. Equal values give equal bytes.
Source: `torch.save` of torch 2.13.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from danet_common import CheckpointError
from weights_convert.containers.pickled_tensors import STORAGE_DTYPES

STORAGE_NAMES = {dtype: name for name, dtype in STORAGE_DTYPES.items() if name != "UntypedStorage"}
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"


def write_pickle(value: Mapping[str, Any]) -> tuple[bytes, list[np.ndarray]]:
    """Return the pickle of a dictionary, and its arrays in the order of their storage keys "0", "1", ...

    Values may be dictionaries by text, lists, tuples, texts, 64-bit integers, floats, booleans, None and arrays.
    The innermost dictionaries of arrays become OrderedDicts, like a state dict. Raise CheckpointError for a
    dtype that torch does not have.
    """
    arrays: list[np.ndarray] = []
    return b"".join([b"\x80\x02", *_value(value, arrays), b"."]), arrays


def _value(value: Any, arrays: list[np.ndarray]) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield _tensor(value, len(arrays))
        arrays.append(value)
    elif isinstance(value, Mapping):
        is_state_dict = any(isinstance(item, np.ndarray) for item in value.values())
        yield ORDERED_DICT if is_state_dict else b"}"
        yield b"("
        for key, item in value.items():
            yield _text(key)
            yield from _value(item, arrays)
        yield b"u"
    elif isinstance(value, list | tuple):
        yield b"](" if isinstance(value, list) else b"("
        for item in value:
            yield from _value(item, arrays)
        yield b"e" if isinstance(value, list) else b"t"
    elif value is None:
        yield b"N"
    elif isinstance(value, bool):
        yield b"\x88" if value else b"\x89"
    elif isinstance(value, str):
        yield _text(value)
    elif isinstance(value, float):
        yield b"G" + struct.pack(">d", value)
    else:
        yield _whole(value)


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _whole(number: int) -> bytes:
    """Encode an integer as BININT or LONG1, the shorter of the two."""
    if -(1 << 31) <= number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    raw = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + struct.pack("<B", len(raw)) + raw


def _sizes(numbers: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_whole(number) for number in numbers) + b"t"


def _tensor(array: np.ndarray, index: int) -> bytes:
    """Encode a contiguous tensor: (storage, offset, size, strides, requires_grad, hooks)."""
    if array.dtype not in STORAGE_NAMES:
        raise CheckpointError(f"torch has no dtype {array.dtype}. Choose another with --dtype")
    strides = tuple(int(np.prod(array.shape[axis + 1 :], dtype=np.int64)) for axis in range(array.ndim))
    kind = f"ctorch\n{STORAGE_NAMES[array.dtype]}\n".encode()
    storage = b"(" + _text("storage") + kind + _text(str(index)) + _text("cpu") + _whole(array.size) + b"tQ"
    return TENSOR + b"(" + storage + _whole(0) + _sizes(array.shape) + _sizes(strides) + b"\x89" + ORDERED_DICT + b"tR"
