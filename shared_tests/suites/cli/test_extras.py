"""Commands and packages where an optional package is not installed: each names the extra, before any work."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from danet_cli.backend import default_backend
from danet_cli.console import describe_error
from danet_cli.main import run
from danet_common.extras import FRAMEWORKS, TRAINING
from shared_tests.suites.cli.test_cli import GROUP, Streams, assert_one_error

NEEDS = {
    ("eval", "--data", "scenes", "--weights", "absent.safetensors"): ("grain",),
    ("eval", "--data", "scenes", "--weights", "absent.safetensors", "--out", "scores"): ("matplotlib",),
    ("train", "--data", "absent", "--out", "run"): TRAINING,
    ("ablate", "--data", "absent", "--out", "ablation"): TRAINING,
    ("demo",): (*TRAINING, "optax", *(package for packages in FRAMEWORKS.values() for package in packages)),
}
DEFAULTS = {
    "predict": ["photo.jpg", "--weights", "danet.safetensors", "--out", "masks"],
    "eval": ["--data", "scenes", "--weights", "danet.safetensors"],
    "cost": [],
    "ablate": ["--out", "ablation"],
    "check": ["danet.safetensors"],
}


def install(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make only these packages look installed."""
    monkeypatch.setattr("danet_common.extras.find_spec", lambda name: name if name in packages else None)


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "package"), [(command, name) for command, names in NEEDS.items() for name in names], ids=str
)
def test_a_command_names_the_extra_before_any_work(
    command: tuple[str, ...], package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Streams
) -> None:
    monkeypatch.chdir(tmp_path)
    needed = {name for names in NEEDS.values() for name in names} | {"jinja2", "tensorstore"}
    install(monkeypatch, *(needed - {package}))
    assert run(list(command)) == 2
    extra = next((extra for extra, packages in FRAMEWORKS.items() if package in packages), None)
    extra = "train" if package in TRAINING else extra or "jax"  # optax
    assert_one_error(capsys, f"danet {command[0]} needs {package}, not installed: pip install 'danet[{extra}]'")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_importing_a_package_names_its_extra(backend: str) -> None:
    packages = FRAMEWORKS[backend]
    done = python(f"import sys; sys.modules.update(dict.fromkeys({packages})); import danet_{backend}")
    error = done.stderr.splitlines()[-1]
    names = ", ".join(packages)
    advice = f"pip install 'danet[{backend}]'"
    assert error == f"ModuleNotFoundError: danet_{backend} needs {names}, not installed: {advice}"


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize("command", DEFAULTS)
def test_the_default_backend_is_installed(command: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, *FRAMEWORKS[backend])
    context = GROUP.commands[command].make_context(command, list(DEFAULTS[command]))
    assert context.params["backends" if command == "check" else "backend"] == backend
    assert default_backend() == backend  # of a new run


def test_no_framework_is_one_error(monkeypatch: pytest.MonkeyPatch, capsys: Streams) -> None:
    install(monkeypatch)
    for command, arguments in DEFAULTS.items():
        assert run([command, *arguments]) == 2
        assert_one_error(capsys, "no framework is installed", "danet[torch]", "danet[tf]", "danet[jax]")


def test_a_package_that_no_check_asks_for() -> None:
    error = ModuleNotFoundError("No module named 'optax'", name="optax")
    assert describe_error(error) == "this command needs optax, not installed: pip install 'danet[jax]'"


@pytest.mark.skipif(importlib.util.find_spec("grain") is None, reason="needs grain")
def test_grain_without_jax_is_silent() -> None:
    program = (
        "import sys; sys.modules['jax'] = None\n"
        "from danet_common.imports import import_grain\n"
        "assert import_grain().MapDataset\n"
        "from absl import logging; logging.warning('the next warning')"
    )
    done = python(program)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "WARNING:absl:the next warning\n"
