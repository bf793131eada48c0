"""Every format cut short: at each structural boundary, one byte before and after it, and every so many bytes."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from io import BytesIO

from shared_tests.malicious.case import Case, file_case
from shared_tests.malicious.seeds import SEEDS, extract, seed_bytes

CUTS = 40  # of each file, besides those at boundaries
MARKS = re.compile(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06|\x93NUMPY|TREE|HEAP|SNOD|GCOL|\x89HDF")


def boundaries(name: str, raw: bytes) -> set[int]:
    """Yield the offsets between the structures of a file."""
    places = {match.start() for match in MARKS.finditer(raw)}
    if zipfile.is_zipfile(BytesIO(raw)):
        with zipfile.ZipFile(BytesIO(raw)) as file:
            for entry in file.infolist()[:20]:
                name_length, extra_length = struct.unpack_from("<HH", raw, entry.header_offset + 26)
                start = entry.header_offset + 30 + name_length + extra_length
                places |= {entry.header_offset + 30, start, start + entry.compress_size}
    if name.endswith(".safetensors"):
        header, data = extract(name)
        base = len(raw) - len(data)
        places |= {8, base, *(base + entry["data_offsets"][1] for entry in header.values())}
    return places


def cases() -> Iterator[Case]:
    """Cuts of every seed that is one file."""
    for name in SEEDS:
        if name.endswith((".orbax", ".folder")):
            continue
        raw = seed_bytes(name)
        actual = sorted(boundaries(name, raw))
        chosen = {actual[index * len(actual) // CUTS] for index in range(CUTS)} if len(actual) > CUTS else set(actual)
        sizes = {place + step for place in chosen for step in (-1, 0, 1)} | {
            len(raw) * index // CUTS for index in range(CUTS)
        }
        for size in sorted(sizes | {1, 2, 3, len(raw) - 1}):
            if 0 <= size < len(raw):
                yield file_case(f"{name}: {size} of {len(raw)} bytes", f".{name.partition('.')[2]}", raw[:size])
