"""Seeded bugs: a small edit inside one definition of a package, imported in the place of the real source.

An edit names its definition by the syntax tree, such as `PositionAttention.forward`, and the package is searched
for it: a definition can move to another file, and the rest of the file can change. The edited source is handed to
the import system and never touches the disk. The parent process edits (`Mutation.sources`), a backend's own process
imports (`install`).
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from shared_tests.fixtures.cases import Case
from shared_tests.workers.backends import Worker
from shared_tests.workers.protocol import Adapter
from shared_tests.workers.worker import load_adapter

PACKAGES = {"torch": "danet_torch", "tf": "danet_tf", "jax": "danet_jax"}
COMMON = "danet_common"
ROOT = Path(__file__).parents[2]

# Names of one thing in the three packages: `same_edit` translates these words.
FORWARD = {"torch": "forward", "tf": "call", "jax": "__call__"}
RELU = {"torch": "F.relu", "tf": "ops.relu", "jax": "jax.nn.relu"}

Change = tuple[str, str]  # old text, new text


class EditError(ValueError):
    """An edit that does not fit the source: the definition, or the text in it, is not there exactly once."""


@dataclass(frozen=True)
class Edit:
    """One change inside one definition.

    within  qualified name of a class, method, function or constant, such as `PositionAttention.forward`; it is looked
            up in the modules of the backend's package, and in those of danet_common if that package does not have it
    old     text that stands exactly once in the lines of that definition
    new     the text that takes its place; its further lines are indented like the line on which `old` begins
    """

    within: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    """One classic bug.

    trap    what goes wrong, in one line
    case    the case that kills it, with the precision and the offset of its input
    edits   backend's name -> what to change in its package
    """

    name: str
    trap: str
    case: Case
    edits: Mapping[str, tuple[Edit, ...]]
    dtype: str = "float64"
    offset: float = 0.0

    def sources(self, backend: str) -> dict[str, str]:
        """Dotted module name -> its edited source. Raises EditError, with the mutation's name, for edits that miss."""
        edited = dict[str, str]()
        for edit in self.edits[backend]:
            try:
                path = find_definition(PACKAGES[backend], edit.within)
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                edited[module] = apply_edit(edit, edited.get(module) or path.read_text())
            except EditError as error:
                raise EditError(f"{self.name}, {backend}: {error}") from None
        return edited


def same_edit(within: str, *changes: Change) -> dict[str, tuple[Edit, ...]]:
    """Return the same changes for all three packages, with FORWARD and RELU translated."""
    return {
        backend: tuple(
            Edit(
                within.replace(".forward", f".{FORWARD[backend]}"),
                old.replace("{relu}", RELU[backend]),
                new.replace("{relu}", RELU[backend]),
            )
            for old, new in changes
        )
        for backend in PACKAGES
    }


def edits_by_backend(within: str, **changes: Change | Edit) -> dict[str, tuple[Edit, ...]]:
    """Return one change for each backend given; an Edit where its definition has another name than `within`."""
    return {
        backend: (
            change if isinstance(change, Edit) else Edit(within.replace(".forward", f".{FORWARD[backend]}"), *change),
        )
        for backend, change in changes.items()
    }


def find_definition(package: str, within: str) -> Path:
    """Return the file of a package, or of danet_common, that has a definition. Raises EditError unless one has it."""
    for searched in (package, COMMON):
        files = _files_by_definition(searched).get(within, [])
        if len(files) > 1:
            raise EditError(
                f"{searched} defines {within} in {', '.join(str(file.relative_to(ROOT)) for file in files)}"
            )
        if files:
            return files[0]
    raise EditError(f"neither {package} nor {COMMON} defines {within}")


def apply_edit(edit: Edit, source: str) -> str:
    """Return the source with an edit. Raises EditError unless the definition and its text are there exactly once."""
    spans = [(first, last) for name, first, last in _definitions(ast.parse(source)) if name == edit.within]
    if len(spans) != 1:
        raise EditError(f"{edit.within} is defined {len(spans)} times, not once")
    lines = source.splitlines(keepends=True)
    first, last = spans[0]
    segment = "".join(lines[first - 1 : last])
    if (count := segment.count(edit.old)) != 1:
        raise EditError(f"{edit.within} has {count} times, not once: {edit.old!r}")
    line = segment[: segment.index(edit.old)].rpartition("\n")[2]
    margin = " " * (len(line) - len(line.lstrip()))
    changed = segment.replace(edit.old, edit.new.replace("\n", f"\n{margin}"))
    return "".join(lines[: first - 1]) + changed + "".join(lines[last:])


@functools.cache
def _files_by_definition(package: str) -> dict[str, list[Path]]:
    """Qualified name -> the files that define it, of all modules of a package; not of `__init__.py` files."""
    files: dict[str, list[Path]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.name != "__init__.py":
            for name in {name for name, _, _ in _definitions(ast.parse(path.read_text()))}:
                files.setdefault(name, []).append(path)
    return files


def _definitions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """Yield each definition's qualified name, first line, with its decorators, and last line."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            first = min(each.lineno for each in (child, *child.decorator_list))
            yield f"{prefix}{child.name}", first, child.end_lineno or first
            yield from _definitions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.Assign | ast.AnnAssign) and isinstance(node, ast.Module | ast.ClassDef):
            for target in child.targets if isinstance(child, ast.Assign) else [child.target]:
                if isinstance(target, ast.Name):
                    yield f"{prefix}{target.id}", child.lineno, child.end_lineno or child.lineno
        else:
            yield from _definitions(child, prefix)


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


def mutate(worker: Worker, sources: Mapping[str, str] | None) -> None:
    """Seed a bug into the packages of a worker's process, or take the last one out (None)."""
    worker.ask({"installer": __name__, "sources": sources})


def install(adapter: str, sources: Mapping[str, str] | None) -> Adapter:
    """Import an adapter again with these modules changed, or with none (None), and return it.

    Runs in the backend's process: nothing of the networks imported before is used after.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, ChangedSource)]
    if sources:
        sys.meta_path.insert(0, ChangedSource(sources))
    modules = list(sys.modules.items())
    loaders = {name: getattr(module, "__loader__", None) for name, module in modules}
    changed = {name for name, loader in loaders.items() if name in (sources or ()) or isinstance(loader, ChangedSource)}
    for name, module in modules:
        importer = name == adapter or name.startswith("shared_tests.workers.trainers.")
        if name.startswith(f"{COMMON}."):  # what it took from a changed module is of no use any more
            importer = any(getattr(value, "__module__", None) in changed for value in vars(module).values())
        if name in changed or importer or name.partition(".")[0] in PACKAGES.values():
            del sys.modules[name]
    return load_adapter(adapter)
