"""Seeding bugs: a package's source with a few words changed, imported in the place of the real one.

The changed text is handed to the import system and never touches the disk, so that nothing can be left
behind. The parent process edits (`Mutation.sources`), a backend's own process imports (`install`).
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from shared_tests.golden_cases import Case
from shared_tests.job import Adapter
from shared_tests.worker import load_adapter

PACKAGES = {"torch": "danet_torch", "tf": "danet_tf", "jax": "danet_jax"}
ROOT = Path(__file__).parents[1]

# What the three write differently and mean the same; `alike` translates these words.
WORDS = {"torch": {"{relu}": "F.relu_"}, "tf": {"{relu}": "ops.relu"}, "jax": {"{relu}": "jax.nn.relu"}}

Change = tuple[str, str]  # old text, new text


@dataclass(frozen=True)
class Edit:
    """One change of one file, such as `layers.py`, of the backend's package or of another one."""

    file: str
    old: str
    new: str
    package: str | None = None


@dataclass(frozen=True)
class Mutation:
    """One classic bug.

    trap    what goes wrong, in one line
    case    the judged case that kills it, with the precision and the offset of its input
    edits   backend's name -> what to change in its package
    """

    name: str
    trap: str
    case: Case
    edits: Mapping[str, tuple[Edit, ...]]
    dtype: str = "float64"
    offset: float = 0.0

    def sources(self, backend: str) -> dict[str, str]:
        """Dotted module name -> its changed source. Raises ValueError where a text is not there exactly once."""
        changed = dict[str, str]()
        for edit in self.edits[backend]:
            package = edit.package or PACKAGES[backend]
            module = f"{package}.{edit.file.removesuffix('.py')}"
            source = changed.get(module) or (ROOT / package / edit.file).read_text()
            found = source.count(edit.old)
            if found != 1:
                raise ValueError(f"{self.name}: {package}/{edit.file} has {found} times, not once: {edit.old!r}")
            changed[module] = source.replace(edit.old, edit.new)
        return changed


def alike(file: str, *changes: Change) -> dict[str, tuple[Edit, ...]]:
    """The same changes in all three packages, up to WORDS."""
    return {
        backend: tuple(Edit(file, _translated(old, words), _translated(new, words)) for old, new in changes)
        for backend, words in WORDS.items()
    }


def apart(file: str, **changes: Change) -> dict[str, tuple[Edit, ...]]:
    """A change for each backend named."""
    return {backend: (Edit(file, old, new),) for backend, (old, new) in changes.items()}


def common(file: str, *changes: Change) -> dict[str, tuple[Edit, ...]]:
    """The same changes of what the three packages share."""
    return {backend: tuple(Edit(file, old, new, "danet_common") for old, new in changes) for backend in PACKAGES}


def _translated(text: str, words: Mapping[str, str]) -> str:
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


class ChangedSource(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the changed modules before Python finds the real ones."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for a changed module, None for any other."""
        return importlib.util.spec_from_loader(fullname, self) if fullname in self.sources else None

    def get_source(self, fullname: str) -> str:
        """The changed text."""
        return self.sources[fullname]

    def is_package(self, fullname: str) -> bool:
        """Never: bugs are seeded into modules."""
        return False


def install(adapter: str, sources: Mapping[str, str] | None) -> Adapter:
    """Import an adapter again with these modules changed, or with none (None), and return it.

    Runs in the backend's process: nothing of the networks imported before is used after.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, ChangedSource)]
    if sources:
        sys.meta_path.insert(0, ChangedSource(sources))
    for name, module in list(sys.modules.items()):
        changed = name in (sources or ()) or isinstance(getattr(module, "__loader__", None), ChangedSource)
        importer = name == adapter or name.startswith("shared_tests.trainers.")
        if changed or importer or name.partition(".")[0] in PACKAGES.values():
            del sys.modules[name]
    return load_adapter(adapter)
