"""Random sequences of writes among a user's own files, held to a model of what must survive."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

import weights_convert
from danet_common import CheckpointError, write_checkpoint, write_pretrained, write_shards
from danet_common.files.atomic import always, never
from shared_tests.suites.conversion.writers import SHARD_BYTES, checkpoint, read_seed

FILES = (
    "a.safetensors",
    "b.npz",
    "b.pth",
    "c.safetensors.index.json",
    "model.safetensors.index.json",
    "x.orbax",
    "y.orbax",
)
SOME = 3  # of what was written that are read after each step
FOLDERS = ("", "hub", "x.orbax", "x.orbax/state", "other")
MINE = (
    "notes.txt",
    ".notes.part",
    ".a.safetensors.abcdefgh.part",
    "model-00001-of-00002.safetensors",
    "model-0123456789abcdef-00001-of-00002.safetensors",
    "unrelated_best_model.safetensors",
    "config.json",
    "README.md",
    "d",
    "metadata",
)


class Model:
    """A folder, what a user has put into it, and the seed of everything that was written."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root = root
        self.chance = chance
        self.mine: dict[Path, bytes] = {}
        self.seeds: dict[Path, int] = {}
        self.count = 0

    def put(self) -> str:
        """A file of the user's comes to be somewhere where nothing is."""
        path = self.root / self.chance.choice(FOLDERS) / self.chance.choice(MINE)
        if path.parent.is_dir() and not path.exists():
            path.write_text(f"mine {self.count}")
            self.mine[path] = path.read_bytes()
        return f"put {path}"

    def take(self) -> str:
        """The user removes one again."""
        path = self.chance.choice([*self.mine, self.root / "none"])
        if self.mine.pop(path, None):
            path.unlink()
        return f"take {path}"

    def copy(self) -> str:
        """The user copies an index, which then names the same files."""
        indexes = [path for path in self.seeds if path.name.endswith(".index.json") and path.is_file()]
        target = self.root / "backup.safetensors.index.json"
        if indexes and not target.exists():
            source = self.chance.choice(indexes)
            if source.parent == self.root:
                shutil.copy(source, target)
                self.seeds[target] = self.seeds[source]
        return f"copy to {target}"

    def write(self) -> str:
        """Something is written by the library."""
        self.count += 1
        path = self.root / self.chance.choice(("", "", "hub", "other")) / self.chance.choice(FILES)
        judge = self.chance.choice((always, never))
        try:
            if path.name.endswith(".index.json"):
                write_shards(checkpoint(self.count), path, self.chance.choice((SHARD_BYTES, 10**9)), judge)
            elif path.suffix == ".safetensors":
                write_checkpoint(checkpoint(self.count), path, judge)
            else:
                weights_convert.write(checkpoint(self.count), path)
        except (CheckpointError, OSError) as error:
            return f"write {path}: {error}"
        self.seeds[path] = self.count
        return f"write {path}, seed {self.count}"

    def save(self) -> str:
        """A hub folder is written, in one file or in several."""
        self.count += 1
        path = self.root / self.chance.choice(("hub", "hub", "other", ""))
        try:
            write_pretrained(checkpoint(self.count), path, self.chance.choice((None, SHARD_BYTES)))
        except (CheckpointError, OSError) as error:
            return f"save {path}: {error}"
        for name in ("model.safetensors", "model.safetensors.index.json"):
            self.seeds.pop(path / name, None)
        self.seeds[path] = self.count
        return f"save {path}, seed {self.count}"

    def convert(self) -> str:
        """The written file is converted."""
        source = self.chance.choice([*self.seeds, self.root / "none.npz"])
        path = self.root / self.chance.choice(("", "hub")) / self.chance.choice(FILES)
        force = self.chance.random() < 0.7
        try:
            weights_convert.convert(source, path, force=force)
        except (CheckpointError, OSError) as error:
            return f"convert {source} {path}: {error}"
        self.seeds[path] = self.seeds[source]
        return f"convert {source} {path}"

    def check(self, history: list[str]) -> None:
        """Hold the folder to the model."""
        story = "\n".join(history[-12:])
        for path, content in self.mine.items():
            assert path.is_file(), f"{path} is lost\n{story}"
            assert path.read_bytes() == content, f"{path} is another\n{story}"
        some = self.chance.sample(sorted(self.seeds), min(SOME, len(self.seeds)))  # reading takes most of the time
        for path, seed in [(path, self.seeds[path]) for path in some]:
            assert read_seed(path) == seed, f"{path} has not seed {seed}\n{story}"
        left = [path for path in self.root.rglob(".*") if path not in self.mine]
        assert not left, f"{left}\n{story}"


def play(root: Path, seed: int, steps: int) -> None:
    """Play a random sequence."""
    model, history = Model(root, random.Random(seed)), []
    for _ in range(steps):
        operation = model.chance.choice((model.put, model.take, model.copy, model.write, model.save, model.convert))
        history.append(operation())
        forget_overwritten(model)
        model.check(history)


def forget_overwritten(model: Model) -> None:
    """A hub folder's weights may be written by name as well: then the folder holds those, or two that differ."""
    for folder in (model.root / "hub", model.root / "other", model.root):
        names = [folder / "model.safetensors", folder / "model.safetensors.index.json"]
        if folder in model.seeds and any(name in model.seeds for name in names):
            del model.seeds[folder]


def test_a_short_sequence(tmp_path: Path) -> None:
    play(tmp_path, 0, 40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_long_sequences(seed: int, tmp_path: Path) -> None:
    play(tmp_path, seed, 300)
