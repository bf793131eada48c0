"""Files that a command would write over: its own are replaced, everybody else's are named and left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from danet_cli.console import CommandError
from danet_cli.demo.command import NEEDED
from danet_cli.main import run
from danet_cli.output_paths import own_image, own_report, own_text, require_own, software
from danet_common import write_checkpoint
from danet_common.data.image import write_image
from danet_common.extras import TRAINING
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.suites.conversion.test_replacing import contents
from shared_tests.suites.conversion.writers import checkpoint


@pytest.mark.parametrize("name", ["x.safetensors", "notes.txt", "other.json", "picture.png"])
@pytest.mark.parametrize("command", ["check", "eval"])
@pytest.mark.needs(*TRAINING)
def test_a_report_in_the_place_of_something_else(
    name: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even of the checkpoint that is looked at."""
    weights = tmp_path / "x.safetensors"
    write_checkpoint(checkpoint(1), weights)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other.json").write_text('{"mine": 1}')
    write_image(tmp_path / "picture.png", np.zeros((2, 2, 3), np.uint8))
    before = contents(tmp_path)
    what = [str(weights)] if command == "check" else ["--data", "scenes", "--weights", str(weights), "--backend", "jax"]
    assert run([command, *what, "--json", str(tmp_path / name)]) == 2
    assert_one_error(capsys, f"{name} exists, and danet {command} did not write it")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["ablation.json", "ablation.md", "ablation.png"])
@pytest.mark.needs(*TRAINING)
def test_an_ablations_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("{}")
    assert run(["ablate", "--out", str(tmp_path)]) == 2
    assert_one_error(capsys, f"{name} exists, and danet ablate did not write it")
    assert (tmp_path / name).read_text() == "{}"


@pytest.mark.needs(*TRAINING)
def test_a_confusion_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "confusion.png", np.zeros((2, 2, 3), np.uint8), "a camera")
    before = contents(tmp_path)
    what = ["--data", "scenes", "--weights", "none.npz", "--backend", "jax", "--out", str(tmp_path)]
    assert run(["eval", *what]) == 2
    assert_one_error(capsys, "confusion.png exists, and danet eval did not write it")
    assert contents(tmp_path) == before


def test_a_commands_own_files_are_replaced(tmp_path: Path) -> None:
    picture, report, empty, text = (tmp_path / name for name in ("a.png", "a.json", "empty.json", "a.md"))
    write_image(picture, np.zeros((2, 2, 3), np.uint8), software("eval"))
    report.write_text(json.dumps({"a": 1, "b": 2, "from": "another version"}))
    empty.touch()
    text.write_text("mark and more")
    require_own(picture, own_image("eval"))
    require_own(report, own_report("eval", ("a", "b")))
    require_own(empty, own_report("eval", ("a", "b")))
    require_own(text, own_text("eval", "mark"))
    require_own(tmp_path / "absent", own_image("eval"))
    with pytest.raises(Exception, match="danet demo did not write it"):
        require_own(picture, own_image("demo"))


@pytest.mark.parametrize("name", ["scenes.safetensors", "index.html", "pictures/scene_0.png"])
@pytest.mark.needs(*NEEDED)
def test_a_demo_beside_other_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = contents(tmp_path)
    assert run(["demo", "--out", str(tmp_path)]) == 2
    assert_one_error(capsys, str(tmp_path), "is not empty; empty it, or choose another --out")
    assert contents(tmp_path) == before


def test_a_picture_that_appears_while_another_is_made(tmp_path: Path) -> None:
    """`danet predict` does not replace a file that another process wrote meanwhile."""
    mask, pixels = tmp_path / "a_mask.png", np.zeros((2, 2, 3), np.uint8)
    for again in range(2):
        write_image(mask, pixels + np.uint8(again), software("predict"), own_image("predict"))
    mask.unlink()
    write_image(mask, pixels, "a camera")
    before = contents(tmp_path)
    with pytest.raises(CommandError, match="danet predict did not write it"):
        write_image(mask, pixels, software("predict"), own_image("predict"))
    assert contents(tmp_path) == before
