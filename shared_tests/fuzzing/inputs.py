"""The input of a number: always the same files for the same number."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import NamedTuple

from shared_tests.fuzzing.mutations import mutate
from shared_tests.fuzzing.structures import CHANGES, change_pickle
from weights_convert.containers.torch_container import LEGACY_START

STRUCTURED = 0.6  # share of the inputs whose frame stays sound
FOREIGN = ("official", "gluoncv", "mmseg")  # seeds in an upstream layout; the others are canonical


class Seed(NamedTuple):
    """A valid checkpoint: its files by their paths below a folder, and which of them is handed to the reader."""

    name: str
    files: dict[str, bytes]
    source: str

    @property
    def schema(self) -> str:
        """The upstream project's layout."""
        owner = self.name.partition(".")[0]
        return owner if owner in FOREIGN else "canonical"


def load_seeds(paths: dict[str, Path]) -> list[Seed]:
    """The seeds that were written, each with the files in its folder."""
    seeds = []
    for name, path in paths.items():
        files = {
            str(file.relative_to(path.parent)): file.read_bytes()
            for file in sorted(path.parent.rglob("*"))
            if file.is_file()
        }
        seeds.append(Seed(name, files, path.name))
    return seeds


def make_input(number: int, seeds: list[Seed]) -> tuple[Seed, dict[str, bytes]]:
    """The seed of an input, and its files with one of them changed."""
    random = Random(number)
    seed = seeds[number % len(seeds)]
    victim = random.choice(sorted(seed.files))
    change = next((change for ending, change in CHANGES.items() if victim.endswith(ending)), mutate)
    data = seed.files[victim]
    if data.startswith(LEGACY_START):
        change = change_legacy
    if random.random() > STRUCTURED:
        change = mutate
    return seed, {**seed.files, victim: change(random, data)}


def change_legacy(random: Random, data: bytes) -> bytes:
    """The pickle of the state dict in torch's older container."""
    start = data.index(b"\x80\x02}", data.index(b"little_endian"))
    end = data.index(b".", data.rindex(b"tR"))
    return data[:start] + change_pickle(random, data[start : end + 1]) + data[end + 1 :]


def place(files: dict[str, bytes], folder: Path) -> int:
    """Put the files into an emptied folder; their size."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return sum(map(len, files.values()))
