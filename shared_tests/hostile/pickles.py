"""Pickles that would run code if anything in them were believed, and pickles that lie about their size."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from shared_tests.hostile.case import Case, file_case
from shared_tests.hostile.seeds import legacy_torch
from weights_convert.archive import write_archive
from weights_convert.torch_container import LEGACY_START

CANARY = b"shared_tests.hostile.canary"


def text(value: bytes) -> bytes:
    """BINUNICODE."""
    return b"X" + struct.pack("<I", len(value)) + value


def called(module: bytes, name: bytes, *arguments: bytes) -> bytes:
    """GLOBAL, the arguments, REDUCE."""
    return b"c" + module + b"\n" + name + b"\n(" + b"".join(arguments) + b"tR"


def stacked(module: bytes, name: bytes) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(name) + b"\x93"


COMMAND = text(b"touch hacked")
SING = b"c" + CANARY + b"\nsing\n"
WANTED = (  # names that people have used to get at a process
    (b"os", b"system"),
    (b"posix", b"system"),
    (b"nt", b"system"),
    (b"builtins", b"eval"),
    (b"builtins", b"exec"),
    (b"builtins", b"compile"),
    (b"builtins", b"__import__"),
    (b"builtins", b"getattr"),
    (b"builtins", b"open"),
    (b"__builtin__", b"eval"),
    (b"subprocess", b"Popen"),
    (b"subprocess", b"check_output"),
    (b"commands", b"getoutput"),
    (b"socket", b"create_connection"),
    (b"shutil", b"rmtree"),
    (b"importlib", b"import_module"),
    (b"runpy", b"run_path"),
    (b"code", b"interact"),
    (b"pty", b"spawn"),
    (b"ctypes", b"CDLL"),
    (b"types", b"FunctionType"),
    (b"marshal", b"loads"),
    (b"pickle", b"loads"),
    (b"_pickle", b"loads"),
    (b"dill._dill", b"_create_function"),
    (b"cloudpickle.cloudpickle", b"_make_function"),
    (b"functools", b"partial"),
    (b"operator", b"attrgetter"),
    (b"operator", b"methodcaller"),
    (b"torch.hub", b"load"),
    (b"torch", b"load"),
    (b"torch.jit", b"load"),
    (b"torch.storage", b"_load_from_bytes"),
    (b"torch._utils", b"_rebuild_device_tensor_from_numpy"),
    (b"torch._dynamo.guards.GuardBuilder", b"get"),
    (b"numpy", b"load"),
    (b"numpy.testing._private.utils", b"runstring"),
    (b"numpy.f2py.crackfortran", b"myeval"),
    (b"joblib.numpy_pickle", b"read_array"),
    (b"webbrowser", b"open"),
    (b"timeit", b"timeit"),
    (b"pydoc", b"pipepager"),
    (b"linecache", b"getline"),
    (b"logging.config", b"listen"),
    (b"zipimport", b"zipimporter"),
    (CANARY, b"sing"),
)
ROUTES: Mapping[str, bytes] = {
    "STACK_GLOBAL": b"\x80\x04" + stacked(CANARY, b"sing") + b"(" + COMMAND + b"tR.",
    "STACK_GLOBAL of a dotted name": b"\x80\x04" + stacked(b"shared_tests", b"hostile.canary.sing") + b")R.",
    "STACK_GLOBAL of numbers": b"\x80\x04K\x01K\x02\x93.",
    "INST": b"(" + COMMAND + b"i" + CANARY + b"\nsing\n.",
    "OBJ": b"(" + SING + COMMAND + b"o.",
    "NEWOBJ": b"\x80\x02" + SING + b"(" + COMMAND + b"t\x81.",
    "NEWOBJ_EX": b"\x80\x04" + SING + b"(" + COMMAND + b"t}" + text(b"a") + b"K\x01s\x92.",
    "BUILD with __setstate__": b"\x80\x02cbuiltins\nobject\n)\x81}"
    + text(b"__setstate__")
    + SING
    + b"s"
    + COMMAND
    + b"b.",
    "BUILD of __reduce__": b"\x80\x02" + SING + b"}" + text(b"__reduce__") + SING + b"sb.",
    "BUILD of a global": SING + b"}" + text(b"touched") + b"K\x01sb.",
    "BUILD with slots": b"\x80\x02cbuiltins\nobject\n)\x81N}" + text(b"__class__") + SING + b"s\x86b.",
    "BUILD of an array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(" + SING + b"tR(" + SING + b"tb.",
    "BUILD of a dtype": b"\x80\x02cnumpy\ndtype\n(" + text(b"O8") + b"tR(K\x03" + text(b"|") + SING + b"tb.",
    "EXT1": b"\x80\x02\x82\x01(" + COMMAND + b"tR.",
    "EXT2": b"\x80\x02\x83\x01\x00(" + COMMAND + b"tR.",
    "EXT4": b"\x80\x02\x84\x01\x00\x00\x00(" + COMMAND + b"tR.",
    "EXT4, negative": b"\x80\x02\x84\xff\xff\xff\xff.",
    "PERSID": b"Pcanary\n.",
    "BINPERSID of a call": SING + b")RQ.",
    "BINPERSID of a class": b"(" + text(b"storage") + SING + text(b"0") + text(b"cpu") + b"K\x01tQ.",
    "BINPERSID with a view": b"("
    + text(b"storage")
    + b"ctorch\nFloatStorage\n"
    + text(b"0")
    + text(b"cpu")
    + b"K\x01"
    + SING
    + b"tQ.",
    "nested": called(b"_pickle", b"loads", b"C\x30" + (SING + b")R.").ljust(48, b".")) + b".",
    "through a constructor": called(b"torch._tensor", b"_rebuild_from_type_v2", SING, b"N", b"(" + COMMAND + b"t", b"N")
    + b".",
    "through a parameter": called(b"torch._utils", b"_rebuild_parameter", SING, b")", b")") + b".",
    "through OrderedDict": called(b"collections", b"OrderedDict", b"]" + SING + b"a") + b".",
    "through _codecs": called(b"_codecs", b"encode", COMMAND, SING) + b".",
    "through a scalar": called(b"numpy.core.multiarray", b"scalar", SING, SING) + b".",
    "through _frombuffer": called(b"numpy._core.numeric", b"_frombuffer", SING, SING, SING, SING) + b".",
    "append to a call": called(b"collections", b"deque") + SING + b"a.",
    "items of a call": called(b"collections", b"defaultdict", SING) + SING + SING + b"s.",
    "memo of a global": SING + b"q\x000" + b"h\x00)R.",
    "partial of a call": b"cfunctools\npartial\n(" + SING + b"tR)R.",
    "attrgetter chain": b"coperator\nattrgetter\n("
    + text(b"os.system")
    + b"tR(c"
    + CANARY
    + b"\ntouched\ntR("
    + COMMAND
    + b"tR.",
    "call of a string": text(b"sing") + b")R.",
    "call of a number": b"K\x01)R.",
    "call of a tuple": b")" + b")R.",
    "arguments that are no tuple": SING + b"]R.",
}
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


def programs() -> Iterator[tuple[str, bytes]]:
    """Every hostile pickle by name."""
    for module, name in WANTED:
        yield f"{module.decode()}.{name.decode()}", b"\x80\x02" + called(module, name, COMMAND) + b"."
        yield (
            f"{module.decode()}.{name.decode()} in a state dict",
            (
                b"\x80\x02}"
                + text(b"state_dict")
                + b"}"
                + text(b"conv1.weight")
                + called(module, name, COMMAND)
                + b"ss."
            ),
        )
    for family in (ROUTES, LIES, BOMBS):
        yield from family.items()
    for protocol in range(6):
        yield f"an array of objects, protocol {protocol}", pickle.dumps({"a": np.array([{}], object)}, protocol)
    reconstruct = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    dtype = called(b"numpy", b"dtype", text(b"f4"), b"\x89", b"\x88")
    for name, shape in {
        "too large": b"J" + HUGE_4 + b"\x85",
        "negative": b"J\xff\xff\xff\xff\x85",
        "of no numbers": text(b"a") + b"\x85",
        "of 100 dimensions": b"(" + b"K\x01" * 100 + b"t",
        "no tuple": b"K\x04",
        "of nothing, and huge": b"K\x00\x8a\x08" + HUGE_8 + b"\x86",
    }.items():
        yield (
            f"an array whose shape is {name}",
            b"}" + text(b"a") + reconstruct + b"(K\x01" + shape + dtype + b"\x89C\x04\0\0\0\0tbs.",
        )


def cases() -> Iterator[Case]:
    """Each program in torch's zip archive, in torch's older container and as a file of its own."""
    for name, program in programs():
        yield Case(f"pickle in a zip: {name}", lambda folder, program=program: zipped(folder, program))  # type: ignore[misc]
        yield file_case(f"pickle in a stream: {name}", ".pth", LEGACY_START + b".K\x01.}." + program)
        if program[:1] == b"\x80":
            yield file_case(f"pickle alone: {name}", ".pdparams", b"\x80\x04" + program[2:])
    sound = legacy_torch({"state_dict": {}})
    yield file_case("pickle in a stream: a protocol that is a call", ".pth", sound[:15] + SING + b")R." + sound[15:])


def zipped(folder: Path, program: bytes) -> Path:
    """A torch archive around a pickle."""
    path = folder / "hostile.pth"
    write_archive(path, [("archive/data.pkl", program), ("archive/data/0", bytes(64)), ("archive/version", b"3\n")])
    return path
