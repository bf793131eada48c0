"""A checkpoint is opened once: replaced meanwhile it is the old or the new one, cut short it is one clear line."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weights_convert
from danet_common import Checkpoint, CheckpointError, open_checkpoint, open_pretrained, write_pretrained
from danet_common.checkpoint.unchanged import TRIES, read_unchanged
from danet_common.files import regular_file
from shared_tests.malicious.seeds import checkpoint

FILES = (".safetensors", ".npz", ".pth", ".keras", ".weights.h5")
SHARD_BYTES = 20_000

Write = Callable[[Checkpoint, Path], None]


def write_sharded_folder(network: Checkpoint, path: Path) -> None:
    """A hub folder whose weights are a set of files."""
    write_pretrained(network, path, SHARD_BYTES)


WRITERS: dict[str, Write] = {
    **dict.fromkeys((*FILES, ".safetensors.index.json", ".orbax"), weights_convert.write),
    "folder": write_pretrained,
    "sharded folder": write_sharded_folder,
}


def other_checkpoint() -> Checkpoint:
    """The same network with other weights."""
    first = checkpoint()
    return Checkpoint(first.config, {name: np.array(array + 1, array.dtype) for name, array in first.tensors.items()})


def path_of(kind: str, folder: Path) -> Path:
    return folder / (f"model{kind}" if kind.startswith(".") else "model")


def needs(kind: str) -> None:
    if kind == ".orbax":
        pytest.importorskip("tensorstore")


opened: Counter[str] | None = None


def count(event: str, arguments: tuple[Any, ...]) -> None:
    """Count what Python opens, while a test counts."""
    if event == "open" and opened is not None and isinstance(arguments[0], str | os.PathLike):
        opened[os.fspath(arguments[0])] += 1


sys.addaudithook(count)


@pytest.mark.parametrize("kind", [*FILES, ".safetensors.index.json", "folder", "sharded folder"])
def test_each_file_of_a_checkpoint_is_opened_once(kind: str, tmp_path: Path) -> None:
    global opened
    path = path_of(kind, tmp_path)
    WRITERS[kind](checkpoint(), path)
    for read in (weights_convert.read, weights_convert.inspect):
        try:
            opened = Counter()
            read(path)
            counted = {name: times for name, times in opened.items() if name.startswith(str(tmp_path))}
        finally:
            opened = None
        assert counted
        assert set(counted.values()) == {1}, counted


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", WRITERS)
def test_a_reader_sees_the_old_or_the_new_one(kind: str, tmp_path: Path) -> None:
    needs(kind)
    both, path = (checkpoint(), other_checkpoint()), path_of(kind, tmp_path)
    hashes = [network.hashes() for network in both]
    assert hashes[0] != hashes[1]
    WRITERS[kind](both[0], path)
    ready = [tmp_path / f"{index}.ready" for index in (0, 1)]
    if kind in FILES:  # replaced far more often than they are written
        for index, network in enumerate(both):
            weights_convert.write(network, path.with_name(f"{index}{kind}"))
            ready[index].write_bytes(path.with_name(f"{index}{kind}").read_bytes())
    ended = threading.Event()

    def replace() -> None:
        turn = 0
        while not ended.is_set():
            turn = 1 - turn
            if kind in FILES:
                link = tmp_path / "link"
                os.link(ready[turn], link)
                link.replace(path)
            else:
                WRITERS[kind](both[turn], path)
                time.sleep(0.02)  # a reader of many files gives up if they never rest

    writer = threading.Thread(target=replace)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    writer.start()
    try:
        seen: set[int] = set()
        started = time.monotonic()
        shortest, longest = (0.5 if kind in FILES else 2), 20  # seconds; a busy machine takes longer to see both
        while time.monotonic() < started + (longest if len(seen) < 2 else shortest):
            actual = [weights_convert.read(path).hashes()]
            if kind.startswith(".safetensors"):
                actual.append(open_checkpoint(path).read().hashes())
            elif "folder" in kind:
                actual.append(open_pretrained(path).read().hashes())
            assert all(item in hashes for item in actual)
            seen |= {hashes.index(item) for item in actual}
    finally:
        ended.set()
        writer.join()
        sys.setswitchinterval(interval)
    assert seen == {0, 1}


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if kind != ".orbax"])
def test_a_file_that_is_cut_short_while_it_is_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of(kind, tmp_path)
    fill, calls, chosen = regular_file.fill, 0, 0

    def cut_and_fill(descriptor: int, view: memoryview, start: int, path: str) -> None:
        nonlocal calls
        calls += 1
        if calls == chosen:
            os.truncate(path, min(start + len(view) // 2, os.fstat(descriptor).st_size - 1))
        fill(descriptor, view, start, path)

    WRITERS[kind](checkpoint(), path)
    monkeypatch.setattr(regular_file, "fill", cut_and_fill)
    weights_convert.read(path)
    for moment in {1, 2, 3, calls // 3, calls // 2, calls - 1, calls} - {0}:
        path = path_of(kind, tmp_path / str(moment))
        path.parent.mkdir()
        chosen = 0
        WRITERS[kind](checkpoint(), path)
        calls, chosen = 0, moment
        with pytest.raises(CheckpointError, match="cut short") as caught:
            weights_convert.read(path)
        assert str(caught.value).startswith(str(tmp_path))


def test_what_never_rests_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("danet_common.checkpoint.unchanged.LONGEST_WAIT", 0)
    tries = 0

    def attempt() -> int:
        nonlocal tries
        tries += 1
        (tmp_path / "file").write_bytes(bytes(tries))
        return tries

    with pytest.raises(CheckpointError, match="was replaced again and again"):
        read_unchanged([tmp_path / "file"], attempt)
    assert tries == TRIES
