"""HDF5 datatype messages of the few types that Keras writes: integers, floats, bfloat16 and texts.

Source: HDF5 File Format Specification, version 3.0, section IV.A.2.d, the datatype message.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
BFLOAT16_ATTRIBUTE = "bfloat16"  # Keras stores a bfloat16 tensor as opaque pairs of bytes with this attribute
OPAQUE = struct.pack("<BxxxI", 0x15, 2)

# Class and version 1, flags, size, then the bits: first, count, exponent's place and size, mantissa's, bias.
FLOAT = struct.Struct("<B3BIHHBBBBI4x")
FLOATS: Mapping[np.dtype, tuple[int, ...]] = {
    np.dtype(np.float16): (0x11, 0x20, 15, 0, 2, 0, 16, 10, 5, 0, 10, 15),
    np.dtype(np.float32): (0x11, 0x20, 31, 0, 4, 0, 32, 23, 8, 0, 23, 127),
    np.dtype(np.float64): (0x11, 0x20, 63, 0, 8, 0, 64, 52, 11, 0, 52, 1023),
}
INTEGER = struct.Struct("<B3BIHH4x")
SIGNED = 0x08
INTEGERS: Mapping[np.dtype, tuple[int, ...]] = {
    np.dtype(f"{kind}{size}"): (0x10, SIGNED if kind == "i" else 0, 0, 0, size, 0, 8 * size)
    for kind in "iu"
    for size in (1, 2, 4, 8)
}
MESSAGES: Mapping[np.dtype, bytes] = {
    **{dtype: FLOAT.pack(*fields) for dtype, fields in FLOATS.items()},
    **{dtype: INTEGER.pack(*fields) for dtype, fields in INTEGERS.items()},
    BFLOAT16: OPAQUE,
}
DTYPES = {message: dtype for dtype, message in MESSAGES.items() if dtype != BFLOAT16}
LENGTHS = {0: INTEGER.size - 4, 1: FLOAT.size - 4}  # by class; the rest is padding
BIG_ENDIAN = 0x01  # flag in both classes

# Variable-length UTF-8 text over bytes of a string type.
TEXT = struct.pack("<B3BI", 0x19, 0x01, 0x01, 0, 16) + struct.pack("<B3BIHH4x", 0x10, 0, 0, 0, 1, 0, 8)
ATTRIBUTE_TYPES = TEXT[:2]  # class and kind of a text of any character set


def read_dtype(message: bytes, attribute: str | None) -> np.dtype | None:
    """Return the dtype of a datatype message; None if it is not a plain number."""
    if attribute == BFLOAT16_ATTRIBUTE:
        return BFLOAT16 if message[4:8] == OPAQUE[4:8] else None
    if len(message) < 8:
        return None
    length = LENGTHS.get(message[0] & 0x0F, 0)
    big = message[1] & BIG_ENDIAN
    plain = bytes([message[0] & 0x0F | 0x10, message[1] & ~BIG_ENDIAN]) + message[2:length]
    dtype = DTYPES.get(plain + bytes(4)) if length else None
    return dtype.newbyteorder(">") if dtype is not None and big else dtype
