"""HDF5 files with links out, data elsewhere, unfamiliar storage, or damage in any structure of the format."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shared_tests.malicious.case import Case, file_case
from shared_tests.malicious.seeds import seed_bytes

SEED = "canonical.weights.h5"
PATH = "head/fused_classifier/vars/0"
LARGE = 1 << 33
STRUCTURES = (b"TREE", b"HEAP", b"SNOD", b"GCOL")
VALUES = {2: (0, 0xFFFF), 4: (0, 0xFFFFFFFF), 8: (0, 8, 1 << 40, (1 << 63), (1 << 64) - 1)}


def made(make: Callable[[Any], Any], **options: Any) -> Callable[[Path], Path]:
    """A file that h5py makes."""

    def build(folder: Path) -> Path:
        import h5py

        path = folder / "malicious.weights.h5"
        (folder / "outside").write_bytes(bytes(1024))
        with h5py.File(path, "w", **options) as file:
            make(file)
        return path

    return build


def in_memory(make: Callable[[Any], Any]) -> bytes:
    """Bytes of a file that h5py makes."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        make(file)
    return buffer.getvalue()


def _create(file: Any, dtype: Any) -> None:
    file.create_dataset(PATH, (2,), dtype)


def by_h5py() -> Mapping[str, Callable[[Path], Path]]:
    """Yield files that HDF5 allows and Keras never writes."""
    import h5py

    zeros = np.zeros((4, 4), np.float32)
    layout = h5py.VirtualLayout((4, 4), np.float32)
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", shape=(4, 4))
    dtypes = {
        "objects": h5py.ref_dtype,
        "regions": h5py.regionref_dtype,
        "texts": h5py.string_dtype(),
        "texts of four": np.dtype("S4"),
        "lists": h5py.vlen_dtype(np.float32),
        "enumerations": h5py.enum_dtype({"a": 1}),
        "records": np.dtype([("a", "<f4")]),
        "complex numbers": np.dtype(np.complex64),
        "opaque bytes": np.dtype("V4"),
        "flag": np.dtype(np.bool_),
    }
    return {
        "a link to another file": made(lambda file: file.update({PATH: h5py.ExternalLink("/etc/passwd", "data")})),
        "a link to a file beside": made(lambda file: file.update({"head": h5py.ExternalLink("outside", "/")})),
        "a soft link": made(lambda file: file.update({PATH: zeros, "backbone": h5py.SoftLink("/head")})),
        "a soft link to nothing": made(lambda file: file.update({PATH: h5py.SoftLink("/nothing")})),
        "a soft link to itself": made(lambda file: file.update({"head": h5py.SoftLink("/head")})),
        "a group in itself": made(lambda file: file.create_group("head").update({"head": file["head"]})),
        "the root in itself": made(lambda file: file.update({"head": file["/"]})),
        "one dataset twice": made(
            lambda file: (file.update({PATH: zeros}), file.update({"head/other/vars/0": file[PATH]}))
        ),
        "data in another file": made(
            lambda file: file.create_dataset(PATH, (4, 4), "f4", external=[("outside", 0, 64)])
        ),
        "data in a device": made(lambda file: file.create_dataset(PATH, (4, 4), "f4", external=[("/dev/zero", 0, 64)])),
        "a virtual dataset": made(lambda file: file.create_virtual_dataset(PATH, layout), libver="latest"),
        "chunks": made(lambda file: file.create_dataset(PATH, data=zeros, chunks=(2, 2))),
        "a huge dataset of fill values": made(
            lambda file: file.create_dataset(PATH, (LARGE, 64), "f8", chunks=(1 << 10, 64))
        ),
        "a huge dataset of fill values in one piece": made(lambda file: file.create_dataset(PATH, (LARGE,), "f8")),
        "compressed zeros": made(
            lambda file: file.create_dataset(
                PATH, data=np.zeros(1 << 24, np.float32), compression="gzip", compression_opts=9
            )
        ),
        "an empty dataset of a huge shape": made(lambda file: file.create_dataset(PATH, (0, 1 << 61), "f4")),
        "shuffled": made(lambda file: file.create_dataset(PATH, data=zeros, shuffle=True)),
        "the newest layout": made(lambda file: file.update({PATH: zeros}), libver="latest"),
        "groups in order of creation": made(lambda file: file.update({PATH: zeros}), track_order=True),
        "a block before the file": made(lambda file: file.update({PATH: zeros}), userblock_size=512),
        "a null dataset": made(lambda file: file.update({PATH: h5py.Empty("f4")})),
        "a named dtype": made(
            lambda file: (file.update({"type": np.dtype("f4")}), file.create_dataset(PATH, (4,), dtype=file["type"]))
        ),
        "an attribute of another kind": made(
            lambda file: (file.update({PATH: zeros}), file.attrs.update({"danet": 7}))
        ),
        "an attribute that is a list": made(
            lambda file: (file.update({PATH: zeros}), file.attrs.update({"danet": ["a", "b"]}))
        ),
        "a dtype that its attribute denies": made(
            lambda file: (file.update({PATH: zeros}), file[PATH].attrs.update({"dtype": "bfloat16"}))
        ),
        **{f"a dataset of {name}": made(functools.partial(_create, dtype=dtype)) for name, dtype in dtypes.items()},
        "groups nested deeply": made(lambda file: file.create_group("/".join(["head"] * 1000))),
        "names of a kilobyte, nested": made(lambda file: file.create_group("/".join(["h" * 1000] * 100))),
        "30,000 groups": made(lambda file: [file.create_group(f"head/{n}") for n in range(30_000)]),
    }


def places() -> Iterator[tuple[str, int, int]]:
    """Numbers in the structures of the seed: what, first byte, size."""
    raw = seed_bytes(SEED)
    yield from ((f"superblock {place}", place, size) for place, size in ((8, 2), (13, 2), (24, 8), (64, 8)))
    for signature in STRUCTURES:
        first, last = raw.index(signature), raw.rindex(signature)
        for name, start in (("first", first), ("last", last)):
            if signature == b"GCOL" and name == "last":  # names of the layers, which are not read
                continue
            sizes = {b"TREE": (4, 6, 32), b"HEAP": (8, 24), b"SNOD": (6, 8, 16), b"GCOL": (8, 16, 24)}
            for place in sizes[signature]:
                yield f"{name} {signature.decode()} {place}", start + place, 2 if place in (4, 6) else 8
    header = raw.rindex(b"SNOD") + 16
    (address,) = struct.unpack_from("<Q", raw, header)
    yield from (
        (f"object header {place}", address + place, size)
        for place, size in ((0, 2), (2, 2), (8, 4), (16, 2), (18, 2), (24, 8))
    )
    (root,) = struct.unpack_from("<Q", raw, 64)
    yield from (
        (f"root's header {place}", root + place, size)
        for place, size in ((0, 2), (2, 2), (8, 4), (16, 2), (18, 2), (24, 8), (32, 8))
    )


def aliased() -> bytes:
    """A thousand groups whose headers are one group's, each below the other: a tree that would never end."""
    raw = bytearray(in_memory(lambda file: [file.create_group(f"head/g{index:04d}") for index in range(1000)]))
    (target,) = struct.unpack_from("<Q", raw, 64)
    place = raw.find(b"SNOD")
    while place >= 0:
        for index in range(struct.unpack_from("<H", raw, place + 6)[0]):
            struct.pack_into("<Q", raw, place + 8 + 40 * index + 8, target)
        place = raw.find(b"SNOD", place + 4)
    return bytes(raw)


def overlapping() -> bytes:
    """Two datasets over the same bytes."""
    names = ("fused_classifier", "position_classifier")
    raw = bytearray(
        in_memory(lambda file: file.update({f"head/{name}/vars/0": np.zeros(4, np.float32) for name in names}))
    )
    layouts = [
        place
        for place in range(len(raw) - 2)
        if raw[place : place + 2] == b"\3\1" and raw[place - 8 : place - 6] == b"\x08\0"
    ]
    struct.pack_into("<Q", raw, layouts[1] + 2, struct.unpack_from("<Q", raw, layouts[0] + 2)[0])
    return bytes(raw)


def cases() -> Iterator[Case]:
    """Yield files that h5py writes, and valid files with false numbers."""
    for name, build in by_h5py().items():
        yield Case(f"hdf5: {name}", build)
    raw = seed_bytes(SEED)
    for name, start, size in places():
        for value in VALUES[size]:
            changed = raw[:start] + value.to_bytes(size, "little") + raw[start + size :]
            if changed != raw:
                yield file_case(f"hdf5: {name} is {value:#x}", ".weights.h5", changed)
    yield file_case("hdf5: groups that are one another", ".weights.h5", aliased())
    yield file_case("hdf5: overlapping datasets", ".weights.h5", overlapping())
    yield file_case("hdf5: a signature and nothing else", ".weights.h5", raw[:8])
    yield file_case("hdf5: a signature and zeros", ".weights.h5", raw[:8] + bytes(4096))
