"""Changes that keep the frame of a format sound, so that what lies deeper in its reader is reached."""

from __future__ import annotations

import io
import json
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from shared_tests.fuzzing.mutations import NUMBERS, TOKENS, mutate
from shared_tests.malicious.orbax_directories import crc32c

VALUES: tuple[Any, ...] = (None, True, "", "F32", "../x", "\ud800", -1, 1.5, [], {}, [[]], {"a": 1}, *NUMBERS, 1 << 70)
NUMPY_HEADER = re.compile(rb"\{'descr'[^\n]*\n")
HDF5_STRUCTURES = re.compile(rb"TREE|HEAP|SNOD|GCOL")


def change_archive(random: Random, data: bytes) -> bytes:
    """One record changed, and the archive written again around it with right lengths and checksums."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        records = {name: file.read(name) for name in file.namelist()}
    small = [name for name in records if name.endswith((".pkl", ".json", "byteorder", ".h5"))]
    name = random.choice(small if small and random.random() < 0.7 else list(records))
    kind = name.rpartition(".")[2]
    records[name] = INNER.get(kind, mutate)(random, records[name])
    if random.random() < 0.1:
        records[random.choice(("archive/constants.pkl", "x/data.pkl", "__manifest__.npy"))] = records.pop(name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", random.choice((0, 0, 0, 8))) as file:
        for record, content in records.items():
            file.writestr(zipfile.ZipInfo(record), content)
    return buffer.getvalue()


def change_array(random: Random, data: bytes) -> bytes:
    """A `.npy` array with its header's text changed."""
    return NUMPY_HEADER.sub(lambda match: mutate(random, match[0]), data, count=1)


def change_json(random: Random, data: bytes) -> bytes:
    """One value or key in a JSON text changed."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return mutate(random, data)
    here: Any = content
    for _ in range(random.randrange(1, 6)):
        if not isinstance(here, dict | list) or not here:
            break
        key = random.choice(list(here)) if isinstance(here, dict) else random.randrange(len(here))
        below = here[key]
        if not isinstance(below, dict | list) or not below or random.random() < 0.2:
            value = (
                random.choice((*VALUES, here, below))
                if random.random() < 0.9
                else random.choice(TOKENS).decode("latin-1")
            )
            if isinstance(here, dict) and random.random() < 0.2:
                here[str(value)[:50]] = here.pop(key)
            else:
                here[key] = json.loads(json.dumps(value))
            break
        here = below
    return json.dumps(content).encode("utf-8", "surrogatepass")


def change_header(random: Random, data: bytes) -> bytes:
    """The JSON header of a safetensors file changed, and its length made right."""
    (length,) = struct.unpack("<Q", data[:8])
    header = change_json(random, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def change_pickle(random: Random, data: bytes) -> bytes:
    """Instructions of a pickle removed, repeated, exchanged or put in."""
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except (ValueError, IndexError):
        return mutate(random, data)
    steps = [data[start:end] for start, end in zip(places, [*places[1:], len(data)], strict=True)]
    for _ in range(random.choice((1, 1, 2, 4))):
        index, other = random.randrange(len(steps)), random.randrange(len(steps))
        what = random.randrange(6)
        if what == 0:
            steps.pop(index) if len(steps) > 1 else None
        elif what == 1:
            steps.insert(index, steps[other])
        elif what == 2:
            steps[index], steps[other] = steps[other], steps[index]
        elif what == 3:
            steps.insert(index, random.choice(TOKENS))
        elif what == 4:
            steps[index] = mutate(random, steps[index])
        else:
            steps[index:index] = steps[other : other + 40]
    return b"".join(steps)


def change_hdf5(random: Random, data: bytes) -> bytes:
    """A number in one of the structures of an HDF5 file, or near an object's header."""
    places = [match.start() for match in HDF5_STRUCTURES.finditer(data)]
    places += [struct.unpack_from("<Q", data, place + 16)[0] for place in places if data[place : place + 4] == b"SNOD"]
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        size = random.choice((1, 2, 4, 8))
        place = min(random.choice([0, *places]) + random.randrange(0, 96, random.choice((1, 8))), len(data) - size)
        known = random.choice(places) if random.random() < 0.3 else random.choice(NUMBERS)
        changed[place : place + size] = (known % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(changed)


def change_checksummed(random: Random, data: bytes) -> bytes:
    """A file of an OCDBT database, with its checksum made right."""
    changed = mutate(random, data[:-4])
    return changed + struct.pack("<I", crc32c(changed))


INNER: Mapping[str, Callable[[Random, bytes], bytes]] = {
    "pkl": change_pickle,
    "json": change_json,
    "npy": change_array,
    "h5": change_hdf5,
}
# By the ending of a file.
CHANGES: Mapping[str, Callable[[Random, bytes], bytes]] = {
    ".pth": change_archive,
    ".npz": change_archive,
    ".keras": change_archive,
    ".safetensors": change_header,
    ".json": change_json,
    ".h5": change_hdf5,
    ".pdparams": change_pickle,
    "_METADATA": change_json,
    "metadata": change_json,
    ".ocdbt": change_checksummed,
}
