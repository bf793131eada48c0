"""Pipes, devices, sockets, folders and links to themselves in the place of any file: one line, at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import danet_cli.predict.command
from danet_cli.main import run
from danet_common import write_checkpoint
from danet_common.data.dataset import DataError
from danet_common.data.image import ImageError, read_image
from danet_common.data.label_table import plain_table
from danet_common.data.labels import open_labels
from danet_common.data.listing import lines_in
from danet_common.training.folder import RunError, RunFolder
from danet_common.training.metrics_file import read_metrics
from shared_tests.malicious.seeds import checkpoint
from shared_tests.malicious.special import SPECIAL
from shared_tests.parity.check import find_backends
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.workers.backends import BackendError

REASONS = r"not a regular file|Too many levels of symbolic links|no run to resume"

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=SPECIAL)
def special(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    """Puts something special in a place, and returns it."""

    def put(path: Path) -> Path:
        SPECIAL[request.param](path)
        return path

    return put


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write_checkpoint(checkpoint(), tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def test_every_reader_of_a_file(special: Callable[[Path], Path], tmp_path: Path) -> None:
    for name, read, error in (
        ("a.png", read_image, ImageError),
        ("a_labels.png", lambda path: open_labels(path, plain_table(2)), DataError),
        ("classes.txt", lines_in, DataError),
        ("metrics.jsonl", read_metrics, (ValueError, OSError)),
        ("adapter.py", lambda path: find_backends([str(path)]), BackendError),
    ):
        path = special(tmp_path / name)
        with pytest.raises(error, match=REASONS) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_runs_files(special: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    special(folder.plan)
    with pytest.raises((RunError, OSError), match=REASONS):
        folder.read_plan()


def test_a_source(special: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = special(tmp_path / "a.safetensors")
    for command in (["inspect", str(path)], ["convert", str(path), str(tmp_path / "b.pth")]):
        assert run(command) == 2
        assert_one_error(capsys, str(path))
    assert not (tmp_path / "b.pth").exists()


def test_a_destination(
    special: Callable[[Path], Path], weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for ending in (".safetensors", ".pth", ".orbax", ".safetensors.index.json"):
        path = special(tmp_path / f"a{ending}")
        before = path.lstat()
        if (ending == ".orbax" and path.is_dir()) or (ending.endswith(".json") and path.is_symlink()):
            continue  # an empty folder, and a link that is replaced itself: nothing is lost
        assert run(["convert", str(weights), str(path), "--force"]) == 2
        assert_one_error(capsys, str(path))
        assert path.lstat().st_ino == before.st_ino


def test_a_photograph(
    special: Callable[[Path], Path],
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that cannot be read is named and left out, whatever it is."""
    infer = SimpleNamespace(config=checkpoint().config), lambda pictures: np.asarray(pictures)[..., :2]
    monkeypatch.setattr(danet_cli.predict.command, "import_backend", ModuleType)
    monkeypatch.setattr(danet_cli.predict.command, "inferring", lambda *_: infer)
    path = special(tmp_path / "a.png")
    common = ["--weights", str(weights), "--backend", "torch", "--out", str(tmp_path / "out")]
    assert run(["predict", str(path), *common]) == (2 if path.is_dir() else 1)
    assert_one_error(capsys, str(path))
