"""safetensors files whose headers lie: lengths, offsets, shapes, dtypes, tensors twice or on top of one another."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from shared_tests.malicious.case import Case, file_case

DATA = bytes(16)


def tensor(dtype: Any = "F32", shape: Any = (4,), start: Any = 0, end: Any = 16) -> dict[str, Any]:
    """One tensor's description."""
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": [start, end]}


def whole(header: bytes | Mapping[str, Any], data: bytes = DATA, length: int | None = None) -> bytes:
    """A file of a header and data; `length` is what it says of its header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


GOOD = json.dumps({"a": tensor()}).encode()
HEADERS: Mapping[str, bytes] = {
    **{
        f"header's length {length}": whole(GOOD, length=length)
        for length in (0, 1, 2, len(GOOD) - 1, len(GOOD) + 1, len(GOOD) + 16, len(GOOD) + 17, 99_999_999, 100_000_000)
    },
    **{f"header's length 2^{poly_power}": whole(GOOD, length=1 << poly_power) for poly_power in (31, 32, 40, 62, 63)},
    "header's length 2^64-1": whole(GOOD, length=(1 << 64) - 1),
    "a tensor twice": whole(GOOD[:-1] + b"," + GOOD[1:]),
    "a tensor twice, differently": whole(GOOD[:-1] + b"," + json.dumps({"a": tensor("I32")}).encode()[1:]),
    "metadata twice": whole(b'{"__metadata__":{"danet":"{}"},"__metadata__":{},' + GOOD[1:]),
    "overlapping tensors": whole({"a": tensor(), "b": tensor(shape=(2,), start=8)}),
    "one range for two tensors": whole({"a": tensor(), "b": tensor()}),
    "a gap between tensors": whole({"a": tensor(shape=(1,), end=4), "b": tensor(shape=(1,), start=12)}),
    "data after the tensors": whole({"a": tensor(shape=(1,), end=4)}),
    "data without tensors": whole({}),
    "offsets beyond the file": whole({"a": tensor(shape=(8,), end=32)}),
    "offsets of 2^63": whole({"a": tensor(start=1 << 63, end=(1 << 63) + 16)}),
    "offsets of 2^64": whole({"a": tensor(start=1 << 64, end=(1 << 64) + 16)}),
    "negative offsets": whole({"a": tensor(start=-16, end=0)}),
    "offsets in the wrong order": whole({"a": tensor(start=16, end=0)}),
    "offsets that are fractions": whole({"a": tensor(start=0.0, end=16.0)}),
    "offsets that are texts": whole({"a": tensor(start="0", end="16")}),
    "three offsets": whole({"a": {**tensor(), "data_offsets": [0, 8, 16]}}),
    "no offsets": whole({"a": {"dtype": "F32", "shape": [4]}}),
    "a shape too large": whole({"a": tensor(shape=(5,))}),
    "a shape too small": whole({"a": tensor(shape=(3,))}),
    "a shape of 2^62": whole({"a": tensor(shape=(1 << 62,))}),
    "a shape whose product is beyond 64 bits": whole({"a": tensor(shape=(1 << 33, 1 << 33))}),
    "a shape whose product wraps around": whole({"a": tensor(shape=(1 << 32, 1 << 32, 4))}),
    "a negative shape": whole({"a": tensor(shape=(-2, -2))}),
    "a shape that is a text": whole({"a": tensor(shape="4")}),
    "a shape that is true": whole({"a": tensor(shape=(True, 4))}),
    "a shape that is null": whole({"a": tensor(shape=None)}),
    "100 dimensions": whole({"a": tensor(shape=(1,) * 99 + (4,))}),
    "an empty tensor of a huge shape": whole({"a": tensor(), "b": tensor(shape=(0, 1 << 50), start=16)}),
    "an empty tensor of an impossible shape": whole(
        {"a": tensor(), "b": tensor(shape=(0, 1 << 61, 1 << 61), start=16)}
    ),
    **{
        f"dtype {name!r}": whole({"a": tensor(dtype=name)})
        for name in ("F31", "", "f32", "OBJECT", "|O", None, 4, ["F32"])
    },
    "half a byte": whole({"a": tensor(dtype="F4", shape=(32,))}),
    "a tensor that is a list": whole({"a": [1, 2]}),
    "a tensor that is null": whole({"a": None}),
    "an unknown field": whole({"a": {**tensor(), "file": "/etc/passwd"}}),
    "metadata that are a list": whole({"__metadata__": [], "a": tensor()}),
    "metadata that are numbers": whole({"__metadata__": {"danet": 1}, "a": tensor()}),
    "a name of a megabyte": whole({"a" * (1 << 20): tensor()}),
    "a name of no text": whole({"\x1b]0;owned\x07": tensor()}),
    "a name with a line break": whole({"a\nall is well": tensor()}),
    "a name that is a lone surrogate": whole(b'{"\\ud800":' + GOOD[5:]),
    "a name that is empty": whole({"": tensor()}),
    "a name that is a path": whole({"../../etc/passwd": tensor()}),
    "bad UTF-8 in a name": whole(b'{"\xff":' + GOOD[5:]),
    "a header before nothing": whole(GOOD, b""),
    "many empty tensors": whole({f"t{n}": tensor(shape=(0,), end=0) for n in range(20_000)}, b""),
}


def cases() -> Iterator[Case]:
    """Every header."""
    for name, content in HEADERS.items():
        yield file_case(f"safetensors: {name}", ".safetensors", content)
