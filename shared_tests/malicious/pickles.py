"""Pickles that would run code if anything in them were believed."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared_tests.malicious.case import Case, file_case
from shared_tests.malicious.malformed_pickles import BOMBS, LIES, arrays
from shared_tests.malicious.pickle_steps import CANARY, COMMAND, SING, called, stacked, text
from shared_tests.malicious.seeds import legacy_torch
from weights_convert.containers.torch_container import LEGACY_START
from weights_convert.containers.zip_archive import write_archive

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
    "STACK_GLOBAL of a dotted name": b"\x80\x04" + stacked(b"shared_tests", b"malicious.canary.sing") + b")R.",
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


def programs() -> Iterator[tuple[str, bytes]]:
    """Every malicious pickle by name."""
    for module, function in WANTED:
        name = f"{module.decode()}.{function.decode()}"
        call = called(module, function, COMMAND)
        yield name, b"\x80\x02" + call + b"."
        in_state_dict = b"\x80\x02}" + text(b"state_dict") + b"}" + text(b"conv1.weight") + call + b"ss."
        yield f"{name} in a state dict", in_state_dict
    for family in (ROUTES, LIES, BOMBS):
        yield from family.items()
    yield from arrays()


def cases() -> Iterator[Case]:
    """Each program in torch's zip archive, in torch's older container and as a file of its own."""
    for name, program in programs():
        yield Case(f"pickle in a zip: {name}", functools.partial(zipped, program=program))
        yield file_case(f"pickle in a stream: {name}", ".pth", LEGACY_START + b".K\x01.}." + program)
        if program[:1] == b"\x80":
            yield file_case(f"pickle alone: {name}", ".pdparams", b"\x80\x04" + program[2:])
    sound = legacy_torch({"state_dict": {}})
    yield file_case("pickle in a stream: a protocol that is a call", ".pth", sound[:15] + SING + b")R." + sound[15:])


def zipped(folder: Path, program: bytes) -> Path:
    """A torch archive around a pickle."""
    path = folder / "malicious.pth"
    write_archive(path, [("archive/data.pkl", program), ("archive/data/0", bytes(64)), ("archive/version", b"3\n")])
    return path
