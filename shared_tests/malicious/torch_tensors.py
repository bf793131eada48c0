"""torch files whose pickles are sound but whose tensors lie about where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from shared_tests.malicious.case import Case
from shared_tests.malicious.pickle_steps import called, text
from weights_convert.containers.zip_archive import write_archive

STORAGE = 64  # bytes


def number(value: int) -> bytes:
    """LONG1."""
    raw = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + raw


def tensor(
    shape: Sequence[int] = (4,),
    strides: Sequence[int] = (1,),
    offset: int = 0,
    length: int = 16,
    kind: bytes = b"torch\nFloatStorage",
    key: bytes = b"0",
    function: bytes = b"_rebuild_tensor_v2",
) -> bytes:
    """The instructions that rebuild one tensor."""
    storage = b"(" + text(b"storage") + b"c" + kind + b"\n" + text(key) + text(b"cpu") + number(length) + b"tQ"
    sizes = [b"(" + b"".join(map(number, values)) + b"t" for values in (shape, strides)]
    return called(b"torch._utils", function, storage, number(offset), *sizes, b"\x89", b"}")


TENSORS: Mapping[str, bytes] = {
    "a shape beyond the storage": tensor(shape=(17,)),
    "an offset beyond the storage": tensor(offset=13),
    "a stride beyond the storage": tensor(strides=(5,)),
    "a storage beyond its record": tensor(shape=(1 << 20,), length=1 << 20),
    "a storage of 2^61 elements": tensor(shape=(1 << 61,), length=1 << 61),
    "a shape of 2^63": tensor(shape=(1 << 63,)),
    "a shape of 2^40, repeated": tensor(shape=(1 << 40,), strides=(0,)),
    "a shape of 2^30, repeated": tensor(shape=(1 << 15, 1 << 15), strides=(0, 0)),
    "a negative shape": tensor(shape=(-4,)),
    "a negative stride": tensor(strides=(-1,), offset=8),
    "a negative offset": tensor(offset=-1),
    "a negative length": tensor(length=-16),
    "an empty tensor of a huge shape": tensor(shape=(0, 1 << 50), strides=(1, 1)),
    "an empty tensor of an impossible shape": tensor(shape=(0, 1 << 61, 1 << 61), strides=(1, 1, 1)),
    "more strides than dimensions": tensor(strides=(1, 1)),
    "17 dimensions": tensor(shape=(1,) * 17, strides=(1,) * 17),
    "a storage of no known class": tensor(kind=b"torch\nComplexStorage"),
    "a storage of a class elsewhere": tensor(kind=b"os\nFloatStorage"),
    "a storage that is not there": tensor(key=b"7"),
    "a storage up the tree": tensor(key=b"../../etc/passwd"),
    "a storage at the root": tensor(key=b"/etc/passwd"),
    "a dtype that is not known": tensor(function=b"_rebuild_tensor_v3"),
    "a sparse tensor": tensor(function=b"_rebuild_sparse_tensor"),
    "a quantised tensor": tensor(function=b"_rebuild_qtensor"),
    "a tensor on no device": tensor(function=b"_rebuild_meta_tensor_no_storage"),
    "too few arguments": called(b"torch._utils", b"_rebuild_tensor_v2", b"N"),
}


def cases() -> Iterator[Case]:
    """Each tensor as the only one of a state dict; many that repeat one storage; and byte orders."""
    for name, rebuilt in TENSORS.items():
        yield torch_case(name, [rebuilt])
    yield torch_case("a thousand tensors that repeat one storage", [tensor((1 << 20,), (0,))] * 1000)
    yield torch_case("a thousand tensors of the other byte order", [tensor((1 << 20,), (0,))] * 1000, b"big")
    for order in (b"middle", b"\xff\xfe", b"little\n", b"x" * 1000):
        yield torch_case(f"byte order {order[:10]!r}", [tensor()], order)


def torch_case(name: str, tensors: Sequence[bytes], order: bytes = b"little") -> Case:
    """A torch file of some tensors."""
    items = b"".join(text(b"w%d" % index) + rebuilt for index, rebuilt in enumerate(tensors))
    pickled = b"\x80\x02}(" + items + b"u."

    def build(folder: Path) -> Path:
        path = folder / "malicious.pth"
        records = [("archive/data.pkl", pickled), ("archive/byteorder", order), ("archive/data/0", bytes(STORAGE))]
        write_archive(path, records)
        return path

    return Case(f"tensor: {name}", build)
