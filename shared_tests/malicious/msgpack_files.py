"""msgpack files that announce more than they hold, nest without end or use extensions wrongly."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import numpy as np

from shared_tests.malicious.case import Case, file_cases
from shared_tests.malicious.seeds import extension, msgpack

KEY = b"\xa1a"
HUGE_2, HUGE_4 = b"\xff\xff", b"\xff\xff\xff\xff"
ARRAY = msgpack(np.zeros(4, np.float32))


def one(value: bytes) -> bytes:
    """A map with one key."""
    return b"\x81" + KEY + value


def described(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    """An array's extension with anything for a description."""
    return one(extension(1, b"\x93" + shape + dtype + data))


SHAPE, DTYPE, DATA = b"\x91\x04", b"\xa7float32", b"\xc4\x10" + bytes(16)
VALUES: Mapping[str, bytes] = {
    **{
        f"{name} of 4 GiB": one(code + HUGE_4)
        for name, code in {
            "a list": b"\xdd",
            "a map": b"\xdf",
            "bytes": b"\xc6",
            "a text": b"\xdb",
            "an extension": b"\xc9",
        }.items()
    },
    **{
        f"{name} of 64 KiB": one(code + HUGE_2)
        for name, code in {
            "a list": b"\xdc",
            "a map": b"\xde",
            "bytes": b"\xc5",
            "a text": b"\xda",
            "an extension": b"\xc8",
        }.items()
    },
    "lists nested deeply": one(b"\x91" * 100_000),
    "maps nested deeply": (b"\x81" + KEY) * 100_000,
    "lists that each claim the rest": one(
        b"".join(b"\xdd" + struct.pack(">I", 500_000 - 5 * n) for n in range(50)) + bytes(500_000)
    ),
    "lists of a million, one in another": one((b"\xdd" + struct.pack(">I", 1 << 20)) * 500 + bytes(1 << 20)),
    "a map that announces too many": b"\x8f" + KEY + ARRAY,
    "a map that announces too few": one(ARRAY) + KEY + ARRAY,
    "an extension in an extension": one(extension(1, b"\x93" + SHAPE + DTYPE + extension(1, DATA))),
    "extensions nested deeply": one(extension(1, extension(1, extension(1, ARRAY)))),
    **{f"extension {code}": one(extension(code, b"\x93" + SHAPE + DTYPE + DATA)) for code in (0, 2, 4, 127, -1, -128)},
    "a timestamp": one(b"\xd6\xff" + bytes(4)),
    "an array of nothing": one(extension(1, b"")),
    "an array of two parts": one(extension(1, b"\x92" + SHAPE + DTYPE)),
    "an array that is a number": one(extension(1, b"\x01")),
    "an array of a huge shape": described(b"\x91\xcf" + b"\x7f" + b"\xff" * 7, DTYPE, DATA),
    "an array of a negative shape": described(b"\x91\xff", DTYPE, DATA),
    "an array of a shape of texts": described(b"\x91\xa14", DTYPE, DATA),
    "an array of a shape of lists": described(b"\x91\x91\x04", DTYPE, DATA),
    "an array of a shape of fractions": described(b"\x91\xcb" + struct.pack(">d", 4.0), DTYPE, DATA),
    "an array of a shape that is infinite": described(b"\x91\xcb" + struct.pack(">d", float("inf")), DTYPE, DATA),
    "an array of a shape too large": described(b"\x91\x05", DTYPE, DATA),
    "an array of 100 dimensions": described(b"\xdc\x00\x64" + b"\x01" * 99 + b"\x04", DTYPE, DATA),
    "an array of an empty, huge shape": described(b"\x92\x00\xcf" + b"\x0f" + b"\xff" * 7, DTYPE, b"\xc4\x00"),
    "an array of objects": described(SHAPE, b"\xa6object", DATA),
    "an array of a dtype that is code": described(SHAPE, b"\xa2O8", DATA),
    "an array of a dtype that is a number": described(SHAPE, b"\x01", DATA),
    "an array of a dtype that is a list": described(SHAPE, b"\x90", DATA),
    "an array of data that are a text": described(SHAPE, DTYPE, b"\xb0" + b"a" * 16),
    "an array of data that are a number": described(SHAPE, DTYPE, b"\x01"),
    "data of three and a half numbers": described(SHAPE, DTYPE, b"\xc4\x0e" + bytes(14)),
    "a key twice": b"\x82" + (KEY + ARRAY) * 2,
    "a key twice, as a number": b"\x82" + b"\xa11" + ARRAY + b"\x01" + ARRAY,
    "a key that is a list": b"\x81\x90" + ARRAY,
    "a key that is bytes": b"\x82" + KEY + ARRAY + b"\xc4\x01a" + ARRAY,
    "a key of no UTF-8": b"\x81\xa1\xff" + ARRAY,
    "a key with a line break": b"\x81\xa2a\n" + ARRAY,
    "a long key above many leaves": b"\x81\xdb"
    + struct.pack(">I", 1 << 20)
    + b"a" * (1 << 20)
    + b"\xdf"
    + struct.pack(">I", 50_000)
    + b"".join(b"\xa5%05d\x01" % n for n in range(50_000)),
    "a text of no UTF-8": one(b"\xa2\xff\xfe"),
    "byte 0xc1, which begins nothing": one(b"\xc1"),
    "a million numbers": one(b"\xdd" + struct.pack(">I", 1 << 20) + bytes(1 << 20)),
    "a million empty maps": one(b"\xdd" + struct.pack(">I", 1 << 20) + b"\x80" * (1 << 20)),
    "numbers and nothing else": one(b"\x93\x01\xcb" + struct.pack(">d", float("nan")) + b"\xc0"),
    "chunks without a shape": one(b"\x81" + msgpack("__msgpack_chunked_array__") + b"\xc3"),
    "chunks that are numbers": one(
        b"\x83" + msgpack("__msgpack_chunked_array__") + b"\xc3\xa5shape\x81\xa10\x04\xa6chunks\x81\xa10\x01"
    ),
    "chunks that are too few": one(
        b"\x83" + msgpack("__msgpack_chunked_array__") + b"\xc3\xa5shape\x81\xa10\x08\xa6chunks\x81\xa10" + ARRAY
    ),
    "chunks that are a list": one(b"\x83" + msgpack("__msgpack_chunked_array__") + b"\xc3\xa5shape\x90\xa6chunks\x90"),
    "a shape of chunks that is a number": one(
        b"\x83" + msgpack("__msgpack_chunked_array__") + b"\xc3\xa5shape\x04\xa6chunks\x80"
    ),
    "bytes after the end": one(ARRAY) + b"\xc0",
}


def cases() -> Iterator[Case]:
    """Every value."""
    yield from file_cases("msgpack", ".msgpack", VALUES)
