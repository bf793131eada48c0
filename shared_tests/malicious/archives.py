"""Zip archives that are bombs, that overlap, that lie about their records or whose names lead out of a folder."""

from __future__ import annotations

import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from shared_tests.malicious.case import Case, file_case
from shared_tests.malicious.seeds import SEEDS

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
PICKLE = "archive/data.pkl"
NAMES = (
    "../hacked",
    "archive/../../hacked",
    "/tmp/hacked",
    "..",
    "a/..",
    "archive\\..\\hacked",
    "C:\\hacked",
    "archive/data/0\0hidden",
    "archive/\x1b[2Jdata",
    "archive/line\nbreak",
    "//server/hacked",
)
LENGTHS = (28, 30, 32)
# Fields of a central directory entry: place, size, values.
FIELDS: Mapping[str, tuple[int, int, tuple[int, ...]]] = {
    "flags": (8, 2, (0x1, 0x41, 0x2000, 0xFFFF)),
    "method": (10, 2, (1, 8, 9, 12, 14, 93, 99, 0xFFFF)),
    "CRC": (16, 4, (1, 0xFFFFFFFF)),
    "stored size": (20, 4, (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)),
    "size": (24, 4, (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)),
    "name's length": (28, 2, (0, 1, 0xFFFF)),
    "extra field's length": (30, 2, (1, 4, 0xFFFF)),
    "comment's length": (32, 2, (1, 0xFFFF)),
    "disk": (34, 2, (1, 0xFFFF)),
    "offset": (42, 4, (1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)),
}
END_FIELDS: Mapping[str, tuple[int, int, tuple[int, ...]]] = {
    "directory's size": (12, 4, (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)),
    "directory's offset": (16, 4, (1, 0x7FFFFFFF, 0xFFFFFFFF)),
}


def archive(records: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive as Python's library writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in records.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def patched(data: bytes, place: int, size: int, value: int) -> bytes:
    """With one little-endian number replaced."""
    return data[:place] + value.to_bytes(size, "little") + data[place + size :]


def overlapping(count: int) -> bytes:
    """Many records that are one and the same kernel of a megabyte of zeros: 1 MB that unpacks to `count` MB."""
    kernel = archive({PICKLE: bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    start = kernel.index(CENTRAL)
    entry = kernel[start : kernel.index(END)]
    entries = b"".join(entry.replace(PICKLE.encode(), b"archive/data/%03d" % n) for n in range(count - 1)) + entry
    end = struct.pack("<4s4xHHIIH", END, count, count, len(entries), start, 0)
    return kernel[:start] + entries + end


def nested(levels: int) -> bytes:
    """An archive in an archive in an archive."""
    data = bytes(1 << 16)
    for _ in range(levels):
        data = archive({PICKLE: data, "archive/version": b"3"}, zipfile.ZIP_DEFLATED)
    return data


def bombs() -> Iterator[tuple[str, bytes]]:
    """Archives that unpack to far more than they hold."""
    deflated = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"".join(deflated.compress(bytes(1 << 20)) for _ in range(300)) + deflated.flush()
    small = archive({PICKLE: b"x" * 20})
    for claimed in (20, 300 << 20, 0x7FFFFFFF):
        entry = small.replace(b"x" * 20, zeros)
        start = entry.index(CENTRAL)
        for place, value in ((10, 8), (20, len(zeros)), (24, claimed), (16, 1)):
            entry = patched(entry, start + place, 2 if place == 10 else 4, value)
        moved = struct.pack("<I", start)
        yield f"300 MiB of zeros that say {claimed} bytes", entry[:-6] + moved + entry[-2:]
    yield "one record under 500 names", overlapping(500)
    yield "archives in one another", nested(6)
    many = {f"archive/data/{n}": bytes(1 << 20) for n in range(200)} | {PICKLE: b"}."}
    yield "200 records of zeros", archive(many, zipfile.ZIP_DEFLATED)
    yield "20,000 empty records", archive({f"archive/data/{n}": b"" for n in range(20_000)} | {PICKLE: b"}."})


def cases() -> Iterator[Case]:
    """Lies in every field of torch's, NumPy's and Keras's archives, bombs, and names that lead out."""
    for name, data in bombs():
        yield file_case(f"bomb: {name}", ".pth", data)
    for name in NAMES:
        yield file_case(
            f"name: {name!r}", ".pth", archive({PICKLE: b"}.", name.replace("\0", "!"): b"x"}).replace(b"!", b"\0")
        )
    for seed in ("canonical.pth", "canonical.npz", "canonical.keras"):
        for field, (place, size, values) in FIELDS.items():
            for value in values:
                yield Case(f"{seed}: {field} {value:#x}", Lie(seed, CENTRAL, place, size, value))
        for field, (place, size, values) in END_FIELDS.items():
            for value in values:
                yield Case(f"{seed}: end's {field} {value:#x}", Lie(seed, END, place, size, value))
        yield Case(f"{seed}: a local header overwritten", Lie(seed, LOCAL, 0, 4, 0))
        yield Case(f"{seed}: a local name's length", Lie(seed, LOCAL, 26, 2, 0xFFFF))
        yield Case(f"{seed}: a record twice", functools.partial(twice, seed=seed))


class Lie:
    """A seed with a number changed, in the last structure of a kind, that of a tensor or of the whole archive."""

    def __init__(self, seed: str, structure: bytes, place: int, size: int, value: int) -> None:
        self.seed, self.structure = seed, structure
        self.place, self.size, self.value = place, size, value

    def __call__(self, folder: Path) -> Path:
        """Build it."""
        path = folder / f"malicious.{self.seed.partition('.')[2]}"
        SEEDS[self.seed](path)
        data = path.read_bytes()
        with zipfile.ZipFile(path) as file:
            largest = max(file.infolist(), key=lambda entry: entry.file_size)
            start = largest.header_offset
        if self.structure == CENTRAL:  # a false length misleads a reader of later entries: change the first entry
            start = data.index(CENTRAL) if self.place in LENGTHS else data.rindex(largest.filename.encode()) - 46
        elif self.structure == END:
            start = data.rindex(END)
        path.write_bytes(patched(data, start + self.place, self.size, self.value))
        return path


def twice(folder: Path, seed: str) -> Path:
    """A seed with its first record there twice."""
    path = folder / f"malicious.{seed.partition('.')[2]}"
    SEEDS[seed](path)
    with zipfile.ZipFile(path) as file:
        records = [(name, file.read(name)) for name in file.namelist()]
    size = len(records[0][0])
    first, stand_in = records[0][0].encode(), b"~" * size
    data = archive({**dict(records), stand_in.decode(): records[0][1]})
    path.write_bytes(data.replace(stand_in, first))
    return path
