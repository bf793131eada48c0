"""Paths that are no files, and files that are something else than their names say."""

from __future__ import annotations

import functools
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from shared_tests.malicious.case import Case
from shared_tests.malicious.seeds import SEEDS

ENDINGS = (".pth", ".safetensors", ".npz", ".keras", ".weights.h5", ".orbax", ".msgpack", ".safetensors.index.json")
CONTENTS: Mapping[str, bytes] = {
    "nothing": b"",
    "one byte": b"\x80",
    "zeros": bytes(10_000),
    "ones": b"\xff" * 10_000,
    "text": b"hello, world\n" * 100,
    "a script": b"#!/bin/sh\ntouch hacked\n",
    "Python": b"import os\nos.system('touch hacked')\n",
    "a page": b"<!DOCTYPE html><html></html>",
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "ELF": b"\x7fELF" + bytes(1000),
}


def at(make: Callable[[Path], Any], ending: str) -> Callable[[Path], Path]:
    """Something at a path with an ending."""

    def build(folder: Path) -> Path:
        path = folder / f"malicious{ending}"
        make(path)
        return path

    return build


def make_socket(path: Path) -> None:
    """A socket without a listener."""
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path may have 108 bytes only
        bound.bind(path.name)
        os.chdir(here)


def folder_of(name: str, content: bytes) -> Callable[[Path], None]:
    """A folder with one file."""

    def make(path: Path) -> None:
        (path / name).parent.mkdir(parents=True)
        (path / name).write_bytes(content)

    return make


def cases() -> Iterator[Case]:
    """Special files, links, folders, and one content under every ending."""
    for ending in ENDINGS:
        for name, content in CONTENTS.items():
            yield Case(f"{ending}: {name}", at(functools.partial(Path.write_bytes, data=content), ending))
        special: Mapping[str, Callable[[Path], Any]] = {
            "a pipe": os.mkfifo,
            "a socket": make_socket,
            "an empty folder": Path.mkdir,
            "a link to nothing": lambda path: path.symlink_to("nothing"),
            "a link to itself": lambda path: path.symlink_to(path.name),
            "a link to an endless device": lambda path: path.symlink_to("/dev/zero"),
            "a link to a device": lambda path: path.symlink_to("/dev/null"),
            "a link to the folder it is in": lambda path: path.symlink_to("."),
            "nothing there": lambda path: None,
        }
        for name, make in special.items():
            yield Case(f"{ending}: {name}", at(make, ending))
    for name, content in {
        "config.json": b"{}",
        "model.safetensors": b"",
        "model.safetensors.index.json": b"{}",
        "_METADATA": b"",
        "state/_METADATA": b"{}",
    }.items():
        yield Case(f"a folder with {name} only", at(folder_of(name, content), ""))
    yield from indexes()


def indexes() -> Iterator[Case]:
    """Indexes of shards that name what is not beside them."""
    for name in (
        "/etc/passwd",
        "../outside.safetensors",
        "..",
        "",
        ".",
        "a/b.safetensors",
        "missing.safetensors",
        "a\\b.safetensors",
        "\0",
        "loop.safetensors",
    ):
        text = json.dumps({"metadata": {}, "weight_map": {"w": name}})
        yield Case(
            f"an index of {name!r}", at(functools.partial(index_beside_loop, text=text), ".safetensors.index.json")
        )
    for seed in ("canonical.pth", "canonical.npz"):
        yield Case(f"{seed} as a shard", at(functools.partial(shard_of, seed=seed), ".safetensors.index.json"))


def index_beside_loop(path: Path, text: str) -> None:
    """An index, beside a link that leads to itself."""
    path.write_text(text)
    (path.parent / "loop.safetensors").symlink_to("loop.safetensors")


def shard_of(path: Path, seed: str) -> None:
    """An index whose shard is of another format."""
    SEEDS[seed](path.parent / f"shard.{seed.partition('.')[2]}")
    (path.parent / f"shard.{seed.partition('.')[2]}").rename(path.parent / "shard.safetensors")
    path.write_text('{"metadata": {}, "weight_map": {"w": "shard.safetensors"}}')
