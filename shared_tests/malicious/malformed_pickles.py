"""Pickles that lie about sizes, unfold into far more than they hold, or are no pickles at all."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping

import numpy as np

from shared_tests.malicious.pickle_steps import SING, called, text

HUGE_4, HUGE_8 = b"\xff\xff\xff\x7f", b"\xff" * 7 + b"\x7f"
LIES: Mapping[str, bytes] = {
    "BINUNICODE": b"X" + HUGE_4 + b"a.",
    "BINUNICODE8": b"\x8d" + HUGE_8 + b"a.",
    "BINBYTES": b"B" + HUGE_4 + b"a.",
    "BINBYTES8": b"\x8e" + HUGE_8 + b"a.",
    "BYTEARRAY8": b"\x96" + HUGE_8 + b"a.",
    "BINSTRING, negative": b"T\xff\xff\xff\xffa.",
    "BINSTRING": b"T" + HUGE_4 + b"a.",
    "LONG4": b"\x8b" + HUGE_4 + b"\x01.",
    "LONG4, negative": b"\x8b\xff\xff\xff\xff\x01.",
    "LONG1": b"\x8a\xff\x01.",
    "LONG of many digits": b"L" + b"9" * 100_000 + b"L\n.",
    "INT of many digits": b"I" + b"9" * 100_000 + b"\n.",
    "a storage of a large number": b"("
    + text(b"storage")
    + b"ctorch\nFloatStorage\n"
    + b"\x8b\x00\x00\x01\x00"
    + b"\x7f" * 65536
    + text(b"cpu")
    + b"K\x01tQ.",
    "FLOAT of many digits": b"F" + b"9" * 100_000 + b"\n.",
    "FLOAT of no number": b"Fcanary\n.",
    "STRING without quotes": b"Scanary\n.",
    "STRING with bad escapes": b"S'\\q\\x\\777'\n.",
    "UNICODE with bad escapes": b"V\\u12\n.",
    "BINUNICODE of no UTF-8": text(b"\xff\xfe\xfd") + b".",
    "FRAME beyond the end": b"\x80\x04\x95" + HUGE_8 + b"N.",
    "PROTO 255": b"\x80\xff}.",
    "PROTO in the middle": b"}\x80\x05\x80\x02.",
    "PUT of a huge number": b"}p" + b"9" * 30 + b"\n.",
    "PUT of a negative number": b"}p-1\n.",
    "LONG_BINPUT of a huge number": b"}r\xff\xff\xff\xff.",
    "GET of nothing": b"g7\n.",
    "BINGET of nothing": b"h\x07.",
    "LONG_BINGET of nothing": b"j\xff\xff\xff\xff.",
    "MEMOIZE of nothing": b"\x94.",
    "NEXT_BUFFER": b"\x97.",
    "READONLY_BUFFER": b"\x97\x98.",
    "empty stack": b"R.",
    "STOP at once": b".",
    "nothing at all": b"",
    "no STOP": b"}" * 10,
    "MARK without end": b"(" * 1000,
    "POP_MARK without MARK": b"1.",
    "TUPLE without MARK": b"t.",
    "unknown instruction": b"\xfe.",
    "a line without an end": b"c" + b"a" * 200_000,
    "SETITEMS, odd": b"}(K\x01u.",
    "SETITEMS on a tuple": b")(K\x01K\x02u.",
    "SETITEM on a number": b"K\x01K\x02K\x03s.",
    "APPENDS on a dictionary": b"}(K\x01e.",
    "ADDITEMS on a global": SING + b"(K\x01\x90.",
    "BUILD on a number": b"K\x01}b.",
    "a dictionary of dictionaries as keys": b"(}}}]d.",
    "a dictionary with one key twice": b"}(" + text(b"a") + b"K\x01" + text(b"a") + b"K\x02u.",
    "a set that is a key": b"}\x8fK\x01s.",
    "a list in itself": b"]q\x00h\x00a.",
    "a dictionary in itself": b"}q\x00" + text(b"a") + b"h\x00s.",
    "a tuple nested deeply": b")" + b"\x85" * 200_000 + b".",
    "lists nested deeply": b"]" * 100_000 + b"a" * 99_999 + b".",
    "a key nested deeply": b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
}
BOMBS: Mapping[str, bytes] = {
    "lists of lists of lists": b"(lp0\n"
    + b"".join(b"(" + b"g%d\n" % n * 10 + b"lp%d\n" % (n + 1) for n in range(40))
    + b".",
    "a storage named by lists of lists": b"("
    + text(b"storage")
    + b"ctorch\nFloatStorage\n]q\x000"
    + b"".join(b"(" + b"h%c" % n * 10 + b"lq%c0" % (n + 1) for n in range(40))
    + b"h%c" % 40
    + text(b"cpu")
    + b"K\x01tQ.",
    "a dtype named by lists of lists": b"]q\x000"
    + b"".join(b"(" + b"h%c" % n * 10 + b"lq%c0" % (n + 1) for n in range(40))
    + b"cnumpy\ndtype\n(h%ctR." % 40,
    "a size of lists of lists": b"]q\x000"
    + b"".join(b"(" + b"h%c" % n * 10 + b"lq%c0" % (n + 1) for n in range(40))
    + called(
        b"torch._utils",
        b"_rebuild_tensor_v2",
        b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(b"0") + text(b"cpu") + b"h\x28tQ",
        b"K\x00",
        b")",
        b")",
    )
    + b".",
    "one string encoded many times": text(b"x" * 100_000) + b"q\x000" + b"c_codecs\nencode\n(h\x00tR0" * 1000 + b"N.",
    "one array many times": b"B"
    + struct.pack("<I", 80_000)
    + bytes(80_000)
    + b"q\x000"
    + called(b"numpy", b"dtype", text(b">f8"))
    + b"q\x010"
    + b"".join(
        called(b"numpy.core.numeric", b"_frombuffer", b"h\x00", b"h\x01", b"(M\x10'\x85t", text(b"C"))
        for _ in range(500)
    )
    + b".",
    "a million instructions": b"}0" * 600_000 + b"N.",
    "a million dictionaries": b"}" * 900_000 + b".",
    "a million marks": b"(" * 900_000 + b".",
    "numbers of one hash": b"}("
    + b"".join(b"\x8a\x0a" + ((1 + (2**61 - 1) * n) % 2**78).to_bytes(10, "little") + b"N" for n in range(60_000))
    + b"u.",
    "memos of one hash": b"N" + b"".join(b"p%d\n" % (1 + (2**61 - 1) * n) for n in range(60_000)) + b".",
}


def arrays() -> Iterator[tuple[str, bytes]]:
    """NumPy arrays that are none."""
    for protocol in range(6):
        yield f"an array of objects, protocol {protocol}", pickle.dumps({"a": np.array([{}], object)}, protocol)
    reconstruct = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    dtype = called(b"numpy", b"dtype", text(b"f4"), b"\x89", b"\x88")
    for what, shape in {
        "too large": b"J" + HUGE_4 + b"\x85",
        "negative": b"J\xff\xff\xff\xff\x85",
        "of no numbers": text(b"a") + b"\x85",
        "of 100 dimensions": b"(" + b"K\x01" * 100 + b"t",
        "no tuple": b"K\x04",
        "of nothing, and huge": b"K\x00\x8a\x08" + HUGE_8 + b"\x86",
    }.items():
        yield (
            f"an array whose shape is {what}",
            b"}" + text(b"a") + reconstruct + b"(K\x01" + shape + dtype + b"\x89C\x04\0\0\0\0tbs.",
        )
