"""NumPy archives whose arrays have absurd headers, or are pickles."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping

import numpy as np

from shared_tests.malicious.archives import archive
from shared_tests.malicious.case import Case, file_case


def array(text: str | bytes, data: bytes = bytes(16), version: bytes = b"\1\0", length: int | None = None) -> bytes:
    """An array in `.npy` form under a header of any text."""
    raw = text.encode() if isinstance(text, str) else text
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(raw) if length is None else length)
    return b"\x93NUMPY" + version + size + raw + data


def header(descr: str = "'<f4'", fortran: str = "False", shape: str = "(4,)") -> str:
    """A header as NumPy writes it."""
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


def objects() -> bytes:
    """An array of objects, which NumPy pickles."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], object), allow_pickle=True)
    return buffer.getvalue()


ARRAYS: Mapping[str, bytes] = {
    "an array of objects": objects(),
    "a pickle by itself": b"\x80\x04cposix\nsystem\n(X\x02\0\0\0idtR.",
    **{
        f"shape {shape}": array(header(shape=shape))
        for shape in (
            "(5,)",
            "(-4,)",
            "(0, 99999999999999)",
            "(9223372036854775807,)",
            "(18446744073709551616,)",
            "(4294967296, 4294967296, 4)",
            "(" + "1, " * 70 + "4)",
            "4",
            "[4]",
            "(4",
            "()",
            "(4.0,)",
            "('a',)",
            "(__import__('os').system('touch hacked'),)",
            "(" + "(" * 5000 + ")" * 5000 + ")",
            "(" + "1" * 10_000 + ",)",
            "(" + "1" * 400 + " ",
        )
    },
    **{
        f"dtype {descr}": array(header(descr=descr))
        for descr in (
            "'|O'",
            "'<V4'",
            "'<M8'",
            "'<c8'",
            "'|S4'",
            "'<f3'",
            "'<f400'",
            "'<f16'",
            "'<U0'",
            "'<U999999999'",
            "'>f4'",
            "[('a', '<f4')]",
            "'f4, f4'",
            "None",
            "1",
            "''",
        )
    },
    "an order that is no order": array(header(fortran="1")),
    "code for a header": array("__import__('os').system('touch hacked')"),
    "a header that is a list": array("[1, 2]"),
    "a header with a key more": array(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'file': '/etc/passwd', }"
    ),
    "a header of nothing": array(b""),
    "a header of no UTF-8": array(b"\xff" * 100),
    "a header with bad escapes": array("{'descr': '\\q', }"),
    "a header beyond the end": array(header(), length=60_000),
    "a header of 4 GiB": array(header(), version=b"\2\0", length=0xFFFFFFFF),
    "a header of 100 kB": array(header() + " " * 100_000, version=b"\2\0"),
    "version 9": array(header(), version=b"\x09\0"),
    "no magic": b"NUMPY" + bytes(100),
    "nothing": b"",
    "half a magic": b"\x93NUM",
    "data cut short": array(header(), bytes(15)),
    "data too long": array(header(), bytes(17)),
}


def cases() -> Iterator[Case]:
    """Every array as a tensor and as the manifest, beside a sound one."""
    sound = array(header())
    for name, data in ARRAYS.items():
        yield file_case(f"npz: {name}", ".npz", archive({"good.npy": sound, "bad.npy": data}))
        yield file_case(f"npz manifest: {name}", ".npz", archive({"good.npy": sound, "__manifest__.npy": data}))
    texts = array(header("'<U4'", shape="()"), b"\xff" * 16)
    yield file_case("npz manifest: letters that are none", ".npz", archive({"__manifest__.npy": texts}))
    yield file_case("npz: 5,000 arrays", ".npz", archive({f"w{n}.npy": sound for n in range(5000)}))
