"""The house keeps its shape: imports go down only, each framework stays in its package, nothing is left half done."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared_tests.backends import BACKENDS

ROOT = Path(__file__).parents[1]

FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "flax"}
NETWORKS = {"danet_torch", "danet_tf", "danet_jax"}

# Each package, and which of our packages and frameworks it may import at all.
FLOORS: dict[str, set[str]] = {
    "danet_common": set(),
    "danet_torch": {"danet_common", "torch"},
    "danet_tf": {"danet_common", "keras", "tensorflow"},
    "danet_jax": {"danet_common", "jax", "flax"},
    "weights_convert": {"danet_common", *NETWORKS, *FRAMEWORKS},
    "shared_tests": {"danet_common", "weights_convert", *NETWORKS, *FRAMEWORKS},
    "danet_cli": {"danet_common", "weights_convert", "shared_tests", *NETWORKS, *FRAMEWORKS},
}
WITHOUT_FRAMEWORKS = ("danet_common", "weights_convert", "danet_cli")  # where a module imports none on being imported

FORBIDDEN_WORDS = ("TODO", "FIXME", "XXX", "raise NotImplementedError", "strict=False", "**kwargs")
FORBIDDEN_FILES = ("utils.py", "helpers.py", "misc.py", "common.py")


def sources(*packages: str) -> list[Path]:
    """The Python files of packages."""
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def is_test(path: Path) -> bool:
    """Suites stand above all floors: they may use even the command that they test."""
    return path.name.startswith("test_") or path.name == "conftest.py"


def imports(node: ast.AST, deep: bool) -> Iterator[str]:
    """Top-level names of the packages imported; `deep` looks into functions and type checking too."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield (node.module or "").partition(".")[0]
    elif deep or not (isinstance(node, ast.FunctionDef) or is_type_checking(node)):
        for child in ast.iter_child_nodes(node):
            yield from imports(child, deep)


def is_type_checking(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`, whose imports never run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@pytest.mark.parametrize("package", FLOORS)
def test_imports_go_down_only(package: str) -> None:
    ours = FRAMEWORKS | set(FLOORS)
    for path in sources(package):
        allowed = FLOORS[package] | {package} | ({"danet_cli"} if is_test(path) else set())
        wrong = {name for name in imports(ast.parse(path.read_text()), deep=True) if name in ours} - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


@pytest.mark.parametrize("path", sources(*WITHOUT_FRAMEWORKS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_a_framework_at_once(path: Path) -> None:
    found = set(imports(ast.parse(path.read_text()), deep=False)) & (FRAMEWORKS | NETWORKS)
    assert not found, f"{', '.join(sorted(found))} must be imported in the function that needs it"


# Keras and TensorFlow themselves import jax where it is installed, so danet_tf is not asked about it.
ISOLATION = {
    "danet_common": FRAMEWORKS | NETWORKS,
    "weights_convert": FRAMEWORKS | NETWORKS,
    "danet_cli.commands": FRAMEWORKS | NETWORKS,
    "shared_tests.judge": FRAMEWORKS | NETWORKS,
    "danet_torch": {"tensorflow", "keras", "jax", "flax", "danet_tf", "danet_jax"},
    "danet_tf": {"torch", "flax", "danet_torch", "danet_jax"},
    "danet_jax": {"torch", "tensorflow", "keras", "danet_torch", "danet_tf"},
}


@pytest.mark.parametrize("module", ISOLATION)
def test_importing_pulls_in_no_other_framework(module: str) -> None:
    backend = BACKENDS.get(module.removeprefix("danet_"))
    if backend and backend.missing and not os.environ.get("CI"):
        pytest.skip(f"{module} needs {', '.join(backend.missing)}")
    script = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    environment = {**os.environ, **(backend.environment if backend else {})}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert module.partition(".")[0] in found
    assert not found & ISOLATION[module]


def test_nothing_is_left_half_done() -> None:
    for path in sources(*FLOORS):
        assert path.name not in FORBIDDEN_FILES, path
        if path != Path(__file__):
            text = path.read_text()
            assert not [word for word in FORBIDDEN_WORDS if word in text], path


def test_every_public_function_and_class_says_what_it_is() -> None:
    silent = []
    for path in sources(*FLOORS):
        if is_test(path):
            continue
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree) or not tree.body, f"{path.relative_to(ROOT)} does not say what it is"
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if node.name != "main" and not ast.get_docstring(node):  # of `main` the module's docstring tells
                silent.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not silent
