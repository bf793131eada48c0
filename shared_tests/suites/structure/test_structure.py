"""The house keeps its shape: imports go down only, each framework stays in its package, nothing is left half done."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from shared_tests.workers.backends import BACKENDS

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "shared_tests" / "fixtures"

FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "flax"}
NETWORKS = {"danet_torch", "danet_tf", "danet_jax"}

# Each package, and which of our packages and frameworks it may import at all.
LAYERS: dict[str, set[str]] = {
    "danet_common": set(),
    "danet_torch": {"danet_common", "torch"},
    "danet_tf": {"danet_common", "keras", "tensorflow"},
    "danet_jax": {"danet_common", "jax", "flax"},
    "weights_convert": {"danet_common", *NETWORKS, *FRAMEWORKS},
    "shared_tests": {"danet_common", "weights_convert", *NETWORKS, *FRAMEWORKS},
    "danet_cli": {"danet_common", "weights_convert", "shared_tests", *NETWORKS, *FRAMEWORKS},
    "danet": {"danet_common", "weights_convert", "danet_cli"},
}
# The one upward call: `load` and `save` of a network take files of any format, which are the converter's to read, and
# import it when they meet another than the canonical one.
UPWARD = {"danet_common/checkpoint/network_file.py": {"weights_convert"}}
# The packages of shared_tests that are not shipped; they may use even the command that they test.
TESTS = ("examples", "fuzzing", "malicious", "mutation", "suites")
TEST_LIBRARIES = {"pytest", "_pytest", "pytest_timeout", "xdist"}
WITHOUT_FRAMEWORKS = ("danet", "danet_common", "weights_convert", "danet_cli")  # import none

FORBIDDEN_WORDS = ("TODO", "FIXME", "XXX", "raise NotImplementedError", "strict=False", "**kwargs")
FORBIDDEN_FILES = ("utils.py", "helpers.py", "misc.py", "common.py")


def sources(*packages: str) -> list[Path]:
    """The Python files of packages."""
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def is_test(path: Path) -> bool:
    """True for suites, whose functions say by their names what they test."""
    return path.name.startswith("test_") or path.name == "conftest.py"


def is_shipped(path: Path) -> bool:
    """True for product code; False for the packages of TESTS, which stand above all others."""
    return path.relative_to(ROOT).parts[:2] not in {("shared_tests", name) for name in TESTS}


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


@pytest.mark.parametrize("package", LAYERS)
def test_imports_go_down_only(package: str) -> None:
    ours = FRAMEWORKS | set(LAYERS)
    for path in sources(package):
        allowed = LAYERS[package] | {package} | (set() if is_shipped(path) else {"danet", "danet_cli"})
        allowed |= UPWARD.get(str(path.relative_to(ROOT)), set())
        wrong = {name for name in imports(ast.parse(path.read_text()), deep=True) if name in ours} - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def modules_named(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a module imports, and every string that could be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("package", [*LAYERS, "benchmarks"])
def test_product_uses_no_test(package: str) -> None:
    tests = tuple(f"shared_tests.{name}" for name in TESTS)
    for path in filter(is_shipped, sources(package)):
        names = set(modules_named(ast.parse(path.read_text())))
        wrong = {name for name in names if name.startswith(tests) or name.partition(".")[0] in TEST_LIBRARIES}
        assert not wrong, f"{path.relative_to(ROOT)} uses {', '.join(sorted(wrong))}"


def test_tests_are_not_shipped() -> None:
    """The wheel's packages by pyproject.toml: none of the tests, and everything else that has a module."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    find = build["packages"]["find"]
    for path in sources(*LAYERS):
        package = ".".join(path.relative_to(ROOT).parts[:-1])
        included = any(fnmatch(package, pattern) for pattern in find["include"])
        excluded = any(fnmatch(package, pattern) for pattern in find["exclude"])
        assert (included and not excluded) == is_shipped(path), package
    data = [path for pattern in build["package-data"]["shared_tests.fixtures"] for path in FIXTURES.glob(pattern)]
    assert 0 < sum(path.stat().st_size for path in data) < 800_000


@pytest.mark.parametrize("path", sources(*WITHOUT_FRAMEWORKS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_a_framework_at_once(path: Path) -> None:
    actual = set(imports(ast.parse(path.read_text()), deep=False)) & (FRAMEWORKS | NETWORKS)
    assert not actual, f"{', '.join(sorted(actual))} must be imported in the function that needs it"


# What each folder of the converter may import from the converter.
CONVERTER_FOLDERS = {
    "containers": ("containers",),  # bytes and arrays only: no module there knows a DANet
    "schemas": ("containers", "mapping.schema", "schemas"),  # facts only
}


@pytest.mark.parametrize("folder", CONVERTER_FOLDERS)
def test_the_converter_is_layered(folder: str) -> None:
    allowed = tuple(f"weights_convert.{name}" for name in CONVERTER_FOLDERS[folder])
    for path in sources(f"weights_convert/{folder}"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not module.startswith("weights_convert") or module.startswith(allowed), f"{path}: imports {module}"


# Keras and TensorFlow themselves import jax where it is installed, so danet_tf is not asked about it.
ISOLATION = {
    "danet_common": FRAMEWORKS | NETWORKS,
    "weights_convert": FRAMEWORKS | NETWORKS,
    "danet_cli.commands": FRAMEWORKS | NETWORKS,
    "shared_tests.parity.check_case": FRAMEWORKS | NETWORKS,
    "danet_torch": {"tensorflow", "keras", "jax", "flax", "danet_tf", "danet_jax", "weights_convert"},
    "danet_tf": {"torch", "flax", "danet_torch", "danet_jax", "weights_convert"},
    "danet_jax": {"torch", "tensorflow", "keras", "danet_torch", "danet_tf", "weights_convert"},
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
    actual = set(done.stdout.split())
    assert module.partition(".")[0] in actual
    assert not actual & ISOLATION[module]


# What opens or reads a file, by the last part of the name that is called.
OPENERS = {"open", "read_text", "read_bytes", "safe_open", "ZipFile", "is_zipfile", "memmap", "mmap", "fromfile"} | {
    "loadtxt",
    "genfromtxt",
    "load_file",
    "imread",
    "fdopen",
    "FileIO",
}
OPENING_MODULES = {("np", "load"), ("torch", "load"), ("h5py", "File"), ("pickle", "load"), ("json", "load")}
PRODUCT = ("danet", "danet_common", "danet_cli", "weights_convert", "danet_torch", "danet_tf", "danet_jax")
# What may open by itself, and why; the call must stand in that file just so.
OPENS_ITSELF = {
    ("danet_common/files/regular_file.py", "os.open(name, FLAGS)"): "the one opening function",
    ("danet_common/files/atomic.py", "temporary.open('rb+')"): "its own file, to be flushed",
    ("danet_common/checkpoint/shard_writer.py", "(place / name).open('rb+')"): "its own file, to be flushed",
    ("danet_common/files/locks.py", "os.open(path, flags('O_RDONLY', *UNFOLLOWED))"): "a lock, never read",
    ("danet_common/checkpoint/pretrained.py", "(place / CONFIG).read_bytes()"): "a text that it has just written",
    ("danet_cli/environment.py", "facts.read_text()"): "/proc/cpuinfo, which has no size",
    ("danet_cli/cost/memory.py", "STATUS.read_text()"): "/proc/self/status, which has no size",
    (
        "weights_convert/containers/zip_archive.py",
        "zipfile.ZipFile(bounded)",
    ): "reads an open file",
    ("weights_convert/containers/zip_archive.py", "self._zip.open(entry)"): "reads an open file",
    (
        "weights_convert/containers/orbax_tree.py",
        "tensorstore.KvStore.open({'driver': 'ocdbt', 'base': _files(state)})",
    ): "writes",
    ("weights_convert/containers/orbax_tree.py", "tensorstore.open(_location(state, leaf, description), read=True)"): (
        "TensorStore's own engine; the directory's files are looked at before"
    ),
}
OPENED = {"file", "stream"}  # what an open file is called where Pillow is given it


def opening_calls(tree: ast.AST) -> Iterator[str]:
    """Calls that open a file for reading, but for those that Pillow makes on an open one."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        if name not in OPENERS and (owner, name) not in OPENING_MODULES:
            continue
        if isinstance(node.func, ast.Name) and name == "read_text":  # of regular_file
            continue
        modes = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        writes = any(isinstance(mode, str) and mode[:1] in ("w", "a", "x") for mode in modes)
        flags = ast.unparse(node.args[1]) if owner == "os" and len(node.args) > 1 else ""
        writes = writes or any(flag in flags for flag in ("O_WRONLY", "O_RDWR", "O_DIRECTORY"))
        of_pillow = owner == "Image" and isinstance(node.args[0], ast.Name) and node.args[0].id in OPENED
        if not writes and not of_pillow:
            yield ast.unparse(node)


def test_every_file_is_opened_by_one_function() -> None:
    actual = {
        (str(path.relative_to(ROOT)), call)
        for path in sources(*PRODUCT)
        for call in opening_calls(ast.parse(path.read_text()))
    }
    assert not actual - OPENS_ITSELF.keys(), "read it with danet_common.files.regular_file"
    assert not OPENS_ITSELF.keys() - actual, "an exception without its case"


OPENING_LINES = (
    *("open(p)", "Path(p).open()", "p.read_text()", "p.read_bytes()", "Image.open(path)", "np.load(p)", "np.memmap(p)"),
    *("mmap.mmap(f, 0)", "safe_open(p, 'np')", "h5py.File(p)", "zipfile.ZipFile(p)", "torch.load(p)", "os.open(p, 0)"),
)


@pytest.mark.parametrize("line", OPENING_LINES)
def test_a_call_that_opens_a_file_is_seen(line: str) -> None:
    assert list(opening_calls(ast.parse(line))) == [line]
    assert not list(opening_calls(ast.parse("Path(p).open('wb'), Image.open(file)")))


def test_what_a_test_may_skip_without_is_there() -> None:
    """A misspelt module in `importorskip` would skip its test everywhere."""
    ours = re.compile(r'importorskip\(\s*"((?:danet_|weights_convert|shared_tests)[\w.]*)"')
    for path in sorted((ROOT / "shared_tests").rglob("*.py")):
        for name in ours.findall(path.read_text()):
            file = ROOT / name.replace(".", "/")
            assert file.is_dir() or file.with_suffix(".py").is_file(), f"{path.name}: {name}"


def test_nothing_is_left_half_done() -> None:
    for path in sources(*LAYERS):
        assert path.name not in FORBIDDEN_FILES, path
        if path != Path(__file__):
            text = path.read_text()
            assert not [word for word in FORBIDDEN_WORDS if word in text], path


def test_every_public_function_and_class_says_what_it_is() -> None:
    silent = []
    for path in sources(*LAYERS):
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
