"""Changes to bytes: blind ones, and ones that know where numbers and words are likely to be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

TOKENS = (  # of all formats together: what one reader takes for granted may surprise another
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"\x93NUMPY\x01\x00",
    b"\x89HDF\r\n\x1a\n",
    b"TREE\x00\x00",
    b"SNOD\x01\x00",
    b"HEAP\x00",
    b"GCOL\x01",
    b"OHDR\x02",
    b"\x80\x02",
    b"\x80\x04\x95",
    b"cos\nsystem\n",
    b"ccollections\nOrderedDict\n)R",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nFloatStorage\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy\ndtype\n",
    b"(", b")", b"R", b"b", b"t", b"Q", b"o", b"s", b"u", b"e", b"}", b"]", b".", b"0", b"1", b"2",
    b"\x81", b"\x85", b"\x86", b"\x87", b"\x90", b"\x92", b"\x93", b"\x94", b"N",
    b"q\x00", b"h\x00", b"K\x00", b"J\xff\xff\xff\xff", b"\x8a\x09" + b"\xff" * 8 + b"\x00", b"p0\n", b"g0\n",
    b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"1.5", b"{}", b"[]", b'""', b'"', b"\\", b",", b":",
    b"[" * 200, b'{"a":' * 200,
    b'"shape"', b'"dtype"', b'"data_offsets"', b'"__metadata__"', b'"danet"', b'"weight_map"', b'"chunks"',
    b"(0,)", b"(1, 1)", b"|O", b"<f8", b">f4", b"<U4", b"'descr'", b"F32", b"BF16",
    b"\xdd\xff\xff\xff\xff", b"\xdf\x00\x01\x00\x00", b"\xc9\xff\xff\xff\xff\x01", b"\xc7\x00\x01", b"\x81", b"\x91",
    b"../", b"/", b"\x00", b"\n", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3\x28",
    b"num_batches_tracked", b"weight", b"state_dict", b"module.",
)  # fmt: skip
SMALL_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    64,
    127,
    128,
    255,
    256,
    1 << 15,
    1 << 16,
    1 << 20,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
)
LARGE_NUMBERS = ((1 << 32) - 1, 1 << 32, 1 << 40, (1 << 62) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
NUMBERS = (*SMALL_NUMBERS, *LARGE_NUMBERS)


def mutate(random: Random, data: bytes) -> bytes:
    """The bytes with one change or a few."""
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 9))):
        data = random.choice(CHANGES)(random, data)
    return data


def _flip(random: Random, data: bytes) -> bytes:
    place = random.randrange(len(data) + 1)
    return (
        data[:place] + bytes(byte ^ (1 << random.randrange(8)) for byte in data[place : place + 1]) + data[place + 1 :]
    )


def _overwrite(random: Random, data: bytes) -> bytes:
    place = random.randrange(len(data) + 1)
    length = random.choice((1, 1, 2, 4, 8, 32))
    return data[:place] + random.randbytes(len(data[place : place + length])) + data[place + length :]


def _number(random: Random, data: bytes) -> bytes:
    size = random.choice((1, 2, 4, 8))
    place = random.randrange(max(1, len(data) - size + 1))
    if random.random() < 0.5:
        place -= place % size
    number = random.choice(NUMBERS) % (1 << 8 * size)
    return data[:place] + number.to_bytes(size, random.choice(("little", "big"))) + data[place + size :]


def _step(random: Random, data: bytes) -> bytes:
    """A number a little larger or smaller than it was."""
    size = random.choice((1, 2, 4, 8))
    place = random.randrange(max(1, len(data) - size + 1))
    order = random.choice(("<", ">"))
    layout = order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
    raw = data[place : place + size]
    if len(raw) < size:
        return data
    number = struct.unpack(layout, raw)[0] + random.choice((-16, -8, -4, -1, 1, 4, 8, 16))
    return data[:place] + struct.pack(layout, number % (1 << 8 * size)) + data[place + size :]


def _token(random: Random, data: bytes) -> bytes:
    place, token = random.randrange(len(data) + 1), random.choice(TOKENS)
    return data[:place] + token + data[place + random.choice((0, len(token))) :]


def _truncate(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _delete(random: Random, data: bytes) -> bytes:
    start, length = random.randrange(len(data) + 1), _length(random, data)
    return data[:start] + data[start + length :]


def _duplicate(random: Random, data: bytes) -> bytes:
    start, length = random.randrange(len(data) + 1), _length(random, data)
    return data[: start + length] + data[start:]


def _splice(random: Random, data: bytes) -> bytes:
    """A piece from elsewhere in the file over another."""
    source, target, length = random.randrange(len(data) + 1), random.randrange(len(data) + 1), _length(random, data)
    piece = data[source : source + length]
    return data[:target] + piece + data[target + len(piece) :]


def _length(random: Random, data: bytes) -> int:
    return random.randrange(1, 1 + min(max(1, len(data)), random.choice((1, 4, 16, 64, 1024, 65536))))


CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip,
    _flip,
    _overwrite,
    _number,
    _number,
    _step,
    _token,
    _token,
    _truncate,
    _delete,
    _duplicate,
    _splice,
)
