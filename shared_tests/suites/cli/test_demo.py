"""`danet demo`: its commands are real ones, its page says what they found, and the whole of it ends well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

from danet_cli.commands import app
from danet_cli.demo.command import BACKENDS, NEEDED, Act, perform, story
from danet_cli.demo.page import write_page
from danet_cli.main import run
from danet_common.data.image import write_image
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.suites.conftest import NETWORKS, Start


def test_every_command_of_the_story_is_one(tmp_path: Path) -> None:
    """Parsed as `danet` would, and not run."""
    commands: Any = typer.main.get_command(app)
    for act in story(tmp_path):
        name, *arguments = act.arguments
        assert commands.commands[name].make_context(name, arguments).params, act.line


def test_the_story_goes_through_all_three(tmp_path: Path) -> None:
    trained = [act.arguments for act in story(tmp_path) if act.arguments[0] == "train"]
    assert [arguments[arguments.index("--backend") + 1] for arguments in trained] == ["torch", "jax", "tf"]
    assert ["--resume" in arguments for arguments in trained] == [False, True, True]


def test_a_command_that_fails_ends_the_demo(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"`danet inspect .*nothing.pth` ended with exit code 2"):
        perform(Act("Inspect", ("inspect", str(tmp_path / "nothing.pth"))), quiet=True)


@pytest.mark.needs(*NEEDED)
def test_a_file_is_no_folder_for_a_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photo.jpg").write_text("mine")
    assert run(["demo", "--out", str(tmp_path / "photo.jpg")]) == 2
    assert_one_error(capsys, "photo.jpg is a file, not a folder")


@pytest.mark.needs(*NEEDED)
def test_a_second_demo_takes_the_next_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("danet_cli.demo.command.story", lambda out: [Act("", ("inspect", f"{out}/nothing.pth"))])
    for name in ("demo", "demo-2", "demo-3"):
        assert run(["demo", "--json"]) == 2  # the story that is told here ends at once
        assert capsys.readouterr().err.startswith(f"writing to {name}\n")
        assert (tmp_path / name / "pictures").is_dir()


@pytest.fixture
def shown(tmp_path: Path) -> str:
    """The page of a demo that found these figures."""
    grey = np.full((4, 6, 3), 128, np.uint8)
    for name in ("run/curves.png", "confusion.png", "parity.png", "predicted/a_side_by_side.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name, grey)
    differences = [{"name": "stem", "relative": 3e-16}, {"name": "fused", "relative": 7e-16}]
    verdicts = {backend: {"differences": differences} for backend in BACKENDS}
    checkpoints = [{"path": "one.safetensors", "backends": verdicts}, {"path": "one.keras", "backends": {}}]
    (tmp_path / "check.json").write_text(json.dumps({"checkpoints": checkpoints}))
    report = {"mean_iou": 0.76943, "pixel_accuracy": 0.9, "iou": {"sky": 0.91234, "<b>road</b>": None}}
    commands = [{"title": "Train", "line": "danet train", "code": 0, "seconds": 31.4}]
    authors = {"picture": str(tmp_path / "parity.png"), "recorded": dict.fromkeys(BACKENDS, 1.368)}
    page = write_page(tmp_path, commands, dict.fromkeys(BACKENDS, report), False, authors)
    return page.read_text()


@pytest.mark.parametrize("words", ["76.94", "91.23", "danet train", "31.4", "7.0e-16", "1.37", "one.keras"])
def test_the_page_says_what_was_found(shown: str, words: str) -> None:
    assert words in shown


def test_the_page_is_whole_and_safe(shown: str) -> None:
    assert "are NOT equal" in shown
    assert "<b>road" not in shown
    assert "&lt;b&gt;road" in shown
    assert shown.count("data:image/png;base64,") == 4
    assert 'src="/' not in shown


@pytest.mark.slow
def test_demo(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for backend in NETWORKS:
        start(backend)
    assert run(["demo", "--out", str(tmp_path), "--json"]) == 0
    actual = json.loads(capsys.readouterr().out)
    assert actual["agrees"]
    assert min(actual["mean_iou"].values()) > 0.6  # 0.77 when this was written
    assert Path(actual["page"]).exists()
    assert all(Path(path).exists() for path in (actual["authors"]["picture"], *actual["authors"]["files"]))
