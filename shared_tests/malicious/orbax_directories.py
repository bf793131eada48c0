"""Orbax directories with links and paths that lead out of them, absurd arrays, and files that are none."""

from __future__ import annotations

import functools
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shared_tests.malicious.case import Case
from shared_tests.malicious.seeds import SEEDS

STATE, TREE = "state", "_METADATA"
ZARR: Mapping[str, Any] = {
    "zarr_format": 2,
    "shape": [4],
    "chunks": [4],
    "dtype": "<f4",
    "fill_value": None,
    "order": "C",
    "compressor": None,
    "filters": None,
    "dimension_separator": ".",
}
ARRAYS: Mapping[str, Mapping[str, Any]] = {
    "a huge shape": {"shape": [1 << 40]},
    "a shape of 2^62": {"shape": [1 << 62], "fill_value": 0},
    "a negative shape": {"shape": [-4]},
    "a shape of fractions": {"shape": [4.5]},
    "huge chunks": {"chunks": [1 << 40]},
    "chunks of nothing": {"chunks": [0]},
    "a hundred million chunks": {"shape": [100_000_000], "chunks": [1], "fill_value": 0},
    "100 dimensions": {"shape": [1] * 100, "chunks": [1] * 100},
    "an unknown dtype": {"dtype": "|O"},
    "a structured dtype": {"dtype": [["a", "<f4"], ["b", "<f4"]]},
    "an unknown compressor": {"compressor": {"id": "pickle"}},
    "data that are not compressed so": {"compressor": {"id": "zstd", "level": 1}},
    "blosc over other data": {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}},
    "filters": {"filters": [{"id": "pickle"}]},
    "another format": {"zarr_format": 9},
    "a NaN to fill with": {"fill_value": "NaN", "dtype": "<i4"},
}


def crc32c(data: bytes) -> int:
    """The checksum that OCDBT keeps."""
    result = 0xFFFFFFFF
    for byte in data:
        result = _crc32c_table()[(result ^ byte) & 0xFF] ^ (result >> 8)
    return result ^ 0xFFFFFFFF


@functools.cache
def _crc32c_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [(value >> 1) ^ (0x82F63B78 if value & 1 else 0) for value in table]
    return table


def sound(folder: Path) -> Path:
    """A sound directory."""
    path = folder / "malicious.orbax"
    SEEDS["canonical.orbax"](path)
    return path


def describing(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Path]:
    """A sound directory whose tree is described otherwise."""

    def build(folder: Path) -> Path:
        path = sound(folder)
        file = path / STATE / TREE
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
        return path

    return build


def named(*parts: Any) -> Callable[[dict[str, Any]], Any]:
    """The description's first leaf under another path."""
    keys = [{"key": part, "key_type": 2} for part in parts]
    return lambda content: next(iter(content["tree_metadata"].values())).update(key_metadata=keys)


def one_array(fields: Mapping[str, Any]) -> Callable[[Path], Path]:
    """A directory without OCDBT that holds one array."""

    def build(folder: Path) -> Path:
        state = folder / "malicious.orbax"
        (state / "w").mkdir(parents=True)
        leaf = {"key_metadata": [{"key": "w", "key_type": 2}], "value_metadata": {}}
        (state / TREE).write_text(json.dumps({"tree_metadata": {"w": leaf}}))
        (state / "w" / ".zarray").write_text(json.dumps({**ZARR, **fields}))
        (state / "w" / "0").write_bytes(bytes(16))
        return state

    return build


def replaced(name: str, make: Callable[[Path], Any]) -> Callable[[Path], Path]:
    """A sound directory with one file or folder of it moved out, and something else in its place."""

    def build(folder: Path) -> Path:
        path = sound(folder)
        moved = folder / "outside"
        (path / name).rename(moved)
        make(path / name)
        return path

    return build


def elsewhere(folder: Path) -> Path:
    """A database that names a data file outside the directory, with a right checksum."""
    path = sound(folder)
    database = path / STATE / "manifest.ocdbt"
    raw = database.read_bytes()
    data = next((path / STATE / "d").iterdir())
    old = b"d/" + data.name.encode()
    outside = folder / "outside"
    outside.mkdir()
    new = b"../../outside/".ljust(len(old), b"x")
    shutil.move(data, outside / new.rpartition(b"/")[2].decode())
    changed = raw.replace(old, new)[:-4]
    database.write_bytes(changed + struct.pack("<I", crc32c(changed)))
    return path


def cases() -> Iterator[Case]:
    """Links, paths, special files, arrays."""
    paths: Mapping[str, tuple[Any, ...]] = {
        "up": ("..", "..", "outside"),
        "with a slash": ("../../outside",),
        "absolute": ("/etc", "passwd"),
        "with a backslash": ("..\\outside",),
        "with a zero": ("a\0b",),
        "empty": ("",),
        "of nothing": (),
        "of lists": ([],),
        "long": ("a" * 100_000,),
        "unknown": ("backbone", "unknown", "bias"),
    }
    for name, parts in paths.items():
        yield Case(f"orbax: a path {name}", describing(named(*parts)))
    yield Case(
        "orbax: one path for all",
        describing(
            lambda content: [named("a")({"tree_metadata": {"": leaf}}) for leaf in content["tree_metadata"].values()]
        ),
    )
    yield Case("orbax: no leaves", describing(lambda content: content.update(tree_metadata={})))
    yield Case("orbax: leaves that are a list", describing(lambda content: content.update(tree_metadata=[])))
    yield Case("orbax: another driver", describing(lambda content: content.update(use_zarr3=True)))
    yield Case("orbax: no database", describing(lambda content: content.update(use_ocdbt=False)))
    yield Case(
        "orbax: missing data as zeros",
        describing(lambda content: content.update(use_ocdbt=False, store_array_data_equal_to_fill_value=False)),
    )
    for name, fields in ARRAYS.items():
        yield Case(f"orbax: {name}", one_array(fields))
    for name in ("state", "state/d", "state/_METADATA", "state/manifest.ocdbt", "manifest", "manifest/metadata"):
        yield Case(
            f"orbax: {name} is a link out",
            replaced(name, lambda path: path.symlink_to("../" * len(path.parts) + "etc")),
        )
        yield Case(f"orbax: {name} is a link to itself", replaced(name, lambda path: path.symlink_to(path.name)))
        yield Case(f"orbax: {name} is a pipe", replaced(name, os.mkfifo))
    yield Case(
        "orbax: state/d is a link to the folder outside",
        replaced("state/d", lambda path: path.symlink_to("../../outside")),
    )
    for name in ("state", "state/_METADATA", "state/manifest.ocdbt"):
        yield Case(f"orbax: {name} is an empty file", replaced(name, Path.touch))
        yield Case(f"orbax: {name} is an empty folder", replaced(name, Path.mkdir))
    yield Case("orbax: a data file outside", elsewhere)
