"""`danet ablate`: its rows are trained alike, go on where they were stopped, and are compared."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from danet_cli.main import run
from danet_common import read_checkpoint
from danet_common.extras import TRAINING
from danet_common.training.folder import RunFolder
from danet_common.training.metrics_file import read_metrics
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.suites.conftest import Start
from shared_tests.suites.training.fake_framework import FakeDistributed, fake_framework

pytestmark = pytest.mark.needs(*TRAINING)

Streams = pytest.CaptureFixture[str]
Ablate = Callable[..., int]

SMALL = ("--data", "scenes:4", "--val", "scenes:2", "--network", "danet_tiny", "--set", "batch_size=2")
SHORT = (*SMALL, "--set", "steps=4", "--set", "crop=33x41", "--validate-every", "2")
THREE = (*SHORT, "--context", "none", "--context", "position", "--context", "position,channel")
FILES = ["ablation.json", "ablation.md", "ablation.png"]


@pytest.fixture
def ablate(monkeypatch: pytest.MonkeyPatch) -> Ablate:
    """`danet ablate` with a fake framework; its keywords are those of `fake_framework`."""

    def go(*arguments: str, **options: Any) -> int:
        joined = lambda backend: (fake_framework(name=backend, **options), FakeDistributed())  # noqa: E731
        monkeypatch.setattr("danet_cli.train.drive.join", joined)
        return run(["ablate", *arguments])

    monkeypatch.setattr("danet_cli.ablate.command.import_backend", lambda backend: None)
    monkeypatch.setattr("danet_common.training.loop.draw_curves", lambda records, path: path.touch())
    return go


def test_what_an_ablation_leaves(ablate: Ablate, tmp_path: Path, capsys: Streams) -> None:
    assert ablate(*THREE, "--out", str(tmp_path), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == json.loads((tmp_path / "ablation.json").read_text())
    assert [row["context"] for row in answer["rows"]] == [[], ["position"], ["position", "channel"]]
    names = ["none", "position", "position+channel"]
    folders = [RunFolder(tmp_path / "danet_tiny" / name) for name in names]
    plans = [folder.read_plan() for folder in folders]
    assert len({(plan.recipe, plan.augmentation, plan.data, plan.intervals) for plan in plans}) == 1
    networks = {plan.config.replace(context=(), branch_classifiers=True) for plan in plans}
    assert networks == {plans[0].config}
    assert [plan.config.outputs for plan in plans] == [("fused",), ("fused",), ("fused", "position", "channel")]
    for row, folder in zip(answer["rows"], folders, strict=True):
        last = read_metrics(folder.metrics)[-1]
        assert (last["step"], last["mean_iou"], last["pixel_accuracy"]) == (4, row["mean_iou"], row["pixel_accuracy"])
        assert [step for step, _ in row["course"]] == [2, 4]
        assert row["seconds"] >= 0
    text = (tmp_path / "ablation.md").read_text()
    assert all(f"| danet_tiny | {name} | " in text for name in names)
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_a_single_branch_has_its_own_loss_where_that_is_asked(ablate: Ablate, tmp_path: Path) -> None:
    asked = ("--set", "branch_classifiers=true", "--context", "position")
    assert ablate(*SHORT, *asked, "--out", str(tmp_path)) == 0
    assert RunFolder(tmp_path / "danet_tiny/position").read_plan().config.outputs == ("fused", "position")


def test_an_interruption_leaves_what_is_finished(ablate: Ablate, tmp_path: Path, capsys: Streams) -> None:
    steps: list[int] = []

    def moment(name: str, step: int) -> None:
        steps.extend([step] if name == "train_step" else [])
        if len(steps) == 6 and name == "train_step":
            os.kill(os.getpid(), signal.SIGINT)

    assert ablate(*THREE, "--out", str(tmp_path), moment=moment) == 130
    out, error = capsys.readouterr()
    assert "none" in out
    assert "1 of 3 runs are finished; the same command resumes the rest" in error
    first = RunFolder(tmp_path / "danet_tiny" / "none")
    before = {path: path.stat().st_mtime_ns for path in first.root.iterdir()}
    steps.clear()
    again: list[int] = []
    noted = lambda name, step: again.append(step) if name == "train_step" else None  # noqa: E731
    assert ablate(*THREE, "--out", str(tmp_path), moment=noted) == 0
    assert again == [3, 4, 1, 2, 3, 4]
    assert {path: path.stat().st_mtime_ns for path in first.root.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == FILES


def test_a_run_that_diverges_stops_no_other(ablate: Ablate, tmp_path: Path, capsys: Streams) -> None:
    taken: list[int] = []

    def loss(step: int) -> float:
        taken.append(step)
        return float("nan") if len(taken) == 2 else 1.0

    assert ablate(*THREE, "--out", str(tmp_path), "--json", loss=loss) == 1
    out, error = capsys.readouterr()
    assert [row["context"] for row in json.loads(out)["rows"]] == [["position"], ["position", "channel"]]
    assert "danet: danet_tiny none: the loss of step 2 is nan" in error


def test_another_run_is_refused(ablate: Ablate, tmp_path: Path, capsys: Streams) -> None:
    assert ablate(*SHORT, "--context", "none", "--out", str(tmp_path)) == 0
    before = read_checkpoint(tmp_path / "danet_tiny/none/last.safetensors").hashes()
    capsys.readouterr()
    assert ablate(*SHORT, "--set", "steps=6", "--out", str(tmp_path)) == 2
    assert_one_error(capsys, "differs in recipe", "--out")
    assert read_checkpoint(tmp_path / "danet_tiny/none/last.safetensors").hashes() == before
    assert ablate(*THREE, "--out", str(tmp_path)) == 0  # rows may be added


def test_two_networks(ablate: Ablate, tmp_path: Path, capsys: Streams) -> None:
    one = (*SHORT, "--context", "none", "--network", "danet_r18", "--set", "widths=4,4,4,8", "--set", "stem_widths=4")
    assert ablate(*one, "--out", str(tmp_path), "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["network"] for row in rows] == ["danet_tiny", "danet_r18"]
    assert (tmp_path / "danet_r18" / "none" / "best.safetensors").is_file()


def test_a_relative_is_really_trained(start: Start, tmp_path: Path, capsys: Streams) -> None:
    start("torch")
    arguments = [*SHORT, "--context", "none", "--context", "cbam,non_local", "--set", "steps=2"]
    assert run(["ablate", *arguments, "--out", str(tmp_path), "--json"]) == 0
    none, pair = json.loads(capsys.readouterr().out)["rows"]
    assert pair["parameters"] > none["parameters"]
    assert read_checkpoint(tmp_path / "danet_tiny/cbam+non_local/best.safetensors").config.context[1] == "non_local"


def test_steps_are_whole_on_the_axis(ablate: Ablate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: figures.append(figure))
    assert ablate(*SHORT, "--context", "none", "--validate-every", "4", "--out", str(tmp_path)) == 0
    ticks = figures[0].axes[1].get_xticks()
    assert np.array_equal(ticks, np.rint(ticks)), ticks


def test_a_folder_that_can_be_none_is_refused_before_training(ablate: Ablate, tmp_path: Path, capsys: Streams) -> None:
    file = tmp_path / "photo.jpg"
    file.write_text("mine")
    trained: list[int] = []
    for out in (file, file / "below"):
        assert ablate(*SHORT, "--out", str(out), moment=lambda name, step: trained.append(step)) == 2
        assert_one_error(capsys, f"{file} is a file, not a folder")
    assert not trained


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--context", "attention"), ("context", "squeeze_excitation")),
        (("--context", "bam,bam"), ("context", "different")),
        (("--set", "context=bam"), ("--context",)),
        (("--val", "none"), ("--val none",)),
        (("--data", "camvid:/absent"), ("/absent",)),
        (("--network", "danet_r19"), ("danet_r19", "danet_r18")),
        (("--network", "a/danet_tiny"), ("--network",)),
        (("--set", "stride=8"), ("stride",)),
        (("--recipe", "mmseg-41k"), ("mmseg-41k",)),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path) -> None:
    with redirect_stderr(StringIO()) as error:
        assert run(["ablate", *SHORT, *arguments, "--out", str(tmp_path / "out")]) == 2
    (line,) = [line for line in error.getvalue().splitlines() if not line.startswith("crop=")]
    assert line.startswith("danet: ")
    assert all(word in line for word in words), line
    assert not (tmp_path / "out").exists()
