"""`danet train`: what it takes, what it refuses, what it shows and what it leaves. No framework computes here."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import danet_cli.train.display
from danet_cli.main import run
from danet_cli.settings import training_settings
from danet_cli.train.plan import RunOptions, make_plan
from danet_common import (
    VARIANTS,
    Checkpoint,
    CheckpointError,
    DANetConfig,
    initial_tensors,
    read_checkpoint,
    write_checkpoint,
)
from danet_common.config.recipe import TrainConfig, learning_rate
from danet_common.config.recipes import RECIPES
from danet_common.data import Augmentation, LabelSettings
from danet_common.extras import TRAINING
from danet_common.training.curves import draw_curves
from danet_common.training.events import Events
from danet_common.training.folder import RunFolder
from danet_common.training.initial_state import fine_tuned
from danet_common.training.metrics_file import read_metrics
from danet_common.training.plan import RunPlan
from danet_common.training.training_checkpoint import read_training, write_training
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.suites.cli.test_eval_command import SHORTAGES
from shared_tests.suites.conftest import NETWORKS, Start, Train
from shared_tests.suites.data.test_data_layouts import write_image, write_labels, write_list
from shared_tests.suites.docs.test_readme import ROOT, blocks

pytestmark = pytest.mark.needs(*TRAINING)

Streams = pytest.CaptureFixture[str]

SCENES = ("--data", "scenes:4", "--val", "scenes:2", "--network", "danet_tiny", "--set", "batch_size=2")
SHORT = (*SCENES, "--set", "steps=6", "--log-every", "2", "--validate-every", "4", "--set", "crop=33x41")


def test_no_field_has_two_owners() -> None:
    owners = (DANetConfig, TrainConfig, Augmentation, LabelSettings)
    names = [field.name for owner in owners for field in dataclasses.fields(owner)]
    assert len(set(names)) == len(names)


def test_settings_find_their_owners() -> None:
    given = ["steps=2000", "crop=180x240", "base=2048,1024", "scale=0.5,1.25", "output_stride=16", "optimizer=adamw"]
    given += ["dtype=mixed_bfloat16", "clip_norm=none", "class_weights=1,0.5", "frozen_batch_norm=true", "flip=0"]
    given += ["label_map=255:1,7:void", "reduce_zero_label=true"]
    config, recipe, augmentation, labels = training_settings(given)
    assert config == {"output_stride": 16}
    assert recipe == {
        "steps": 2000,
        "optimizer": "adamw",
        "dtype": "mixed_bfloat16",
        "clip_norm": None,
        "class_weights": (1.0, 0.5),
        "frozen_batch_norm": True,
    }
    assert augmentation == {"crop": (180, 240), "base": (2048, 1024), "scale": (0.5, 1.25), "flip": 0.0}
    assert labels == {"label_map": ((255, 1), (7, 255)), "reduce_zero_label": True}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_brings_its_network_and_pictures(name: str, capsys: Streams) -> None:
    plan, _ = make_plan(asked_for("scenes:2", recipe=name))
    recipe = RECIPES[name]
    assert (plan.recipe, plan.augmentation, plan.network) == (recipe.train, recipe.augmentation, recipe.networks[0])
    named = {"num_classes": 7, "class_names": plan.config.class_names, "palette": plan.config.palette}
    assert plan.config == VARIANTS[recipe.networks[0]].replace(**named)
    output = capsys.readouterr().err
    assert f"recipe {name}: for {recipe.data}, with its own network, {recipe.networks[0]}" in " ".join(output.split())


@pytest.mark.parametrize(
    ("network", "settings", "differing"),
    [
        ("danet_r101_mmseg", [], ""),
        ("danet_r50", [], "stem, stem_widths, multi_grid, auxiliary, upsample_grid"),
        (None, ["output_stride=16"], "output_stride"),
    ],
)
def test_another_network_than_the_recipes_is_said(
    network: str | None, settings: list[str], differing: str, capsys: Streams
) -> None:
    make_plan(asked_for("scenes:2", recipe="mmseg-80k", network=network, settings=settings))
    output = " ".join(capsys.readouterr().err.split())
    if differing:
        assert f"{network or 'danet_r50_mmseg'} is not its network" in output
        assert "its own is danet_r50_mmseg or danet_r101_mmseg; differs from danet_r50_mmseg in " in output
        assert output.endswith(differing)
    else:
        assert "with its own network, danet_r101_mmseg" in output


def test_data_without_a_val_split_say_how_to_validate(train: Train, tmp_path: Path, capsys: Streams) -> None:
    write_list(tmp_path / "classes.txt", "a", "b")
    write_image(tmp_path / "train/images/a.png")
    write_labels(tmp_path / "train/labels/a.png", 0, 1)
    asked = ("--data", f"folder:{tmp_path}", "--network", "danet_tiny", "--backend", "torch", "--set", "crop=4x6")
    assert train(*asked, "--out", str(tmp_path / "run")) == 2
    assert_one_error(capsys, "no split 'val'; there are train; --val-split NAME validates with another, --val none")
    assert not (tmp_path / "run").exists()


def test_another_split_than_the_recipes_is_said(tmp_path: Path, capsys: Streams) -> None:
    for name in ("JPEGImages/a.jpg", "SegmentationClass/a.png"):
        write_image(tmp_path / name)
    write_list(tmp_path / "ImageSets/Segmentation/train.txt", "a")
    make_plan(asked_for(f"voc:{tmp_path}", recipe="mmseg-voc12aug-20k"))
    assert "the split is train; --split train_aug takes the recipe's" in " ".join(capsys.readouterr().err.split())


def test_a_recipe_draws_the_head_as_its_owners() -> None:
    plan, draw = make_plan(asked_for("scenes:2", recipe="mmseg-40k", settings=["layers=1,1,1,1"]))
    tensors = draw().tensors
    assert tensors["head.fused_classifier.weight"].std() == pytest.approx(0.01, rel=0.05)  # of 7 x 512 values
    assert not tensors["head.fused_classifier.bias"].any()
    expected = initial_tensors(plan.config, 0, "mmseg")
    assert np.array_equal(tensors["head.position_in.conv.weight"], expected["head.position_in.conv.weight"])


def asked_for(data: str, **options: Any) -> RunOptions:
    """Return the arguments of `danet train`, with every other option left out."""
    fields: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(RunOptions))
    return RunOptions(**(fields | {"settings": [], "data": data} | options))


def test_what_a_run_leaves(train: Train, tmp_path: Path, capsys: Streams) -> None:
    folder = RunFolder(tmp_path / "runs" / "first")
    assert train(*SHORT, "--backend", "torch", "--out", str(folder.root)) == 0
    out, error = capsys.readouterr()
    assert sorted(path.name for path in folder.root.iterdir()) == sorted(
        ["run.json", "last.safetensors", "best.safetensors", "metrics.jsonl", "events", "curves.png"]
    )
    plan = folder.read_plan()
    assert RunPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert (plan.config.num_classes, plan.config.class_names[0] if plan.config.class_names else "") == (7, "sky")
    lines = read_metrics(folder.metrics)
    assert [line["step"] for line in lines] == [2, 4, 4, 6, 6]
    assert list(lines[0]) == ["step", "losses", "learning_rate", "images_per_second", "backend"]
    assert list(lines[2]) == ["step", "mean_iou", "pixel_accuracy", "iou", "backend"]
    assert list(lines[2]["iou"]) == list(plan.config.class_names or ())
    best = max((line for line in lines if "mean_iou" in line), key=lambda line: line["mean_iou"])
    assert read_checkpoint(folder.best).source["step"] == best["step"]
    assert f"best mIoU  {best['mean_iou']:.4f} at step {best['step']}" in out
    assert f"danet eval --data scenes:2 --weights {folder.best} --backend torch" in " ".join(out.split())
    assert "step 6/6  validation  mIoU" in error


def test_the_mean_of_the_losses_since_the_last_line(train: Train, tmp_path: Path) -> None:
    each, every = RunFolder(tmp_path / "1"), RunFolder(tmp_path / "3")
    for folder, intervals in ((each, "1"), (every, "3")):
        arguments = [*SCENES, "--set", "steps=6", "--set", "crop=33x41", "--log-every", intervals]
        assert train(*arguments, "--val", "none", "--backend", "tf", "--out", str(folder.root)) == 0
    losses = [line["losses"]["loss"] for line in read_metrics(each.metrics)]
    expected_values = [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
    assert [line["losses"]["loss"] for line in read_metrics(every.metrics)] == pytest.approx(expected_values, rel=1e-15)
    assert not each.best.exists()


def test_gone_on_with_in_another_framework(train: Train, tmp_path: Path, capsys: Streams) -> None:
    folder = RunFolder(tmp_path / "run")
    assert train(*SHORT, "--backend", "torch", "--out", str(folder.root), "--stop-after", "3") == 0
    assert f"danet train --resume {folder.root}" in " ".join(capsys.readouterr().out.split())
    assert train("--resume", str(folder.root), "--backend", "jax", "--stop-after", "4") == 0
    assert read_training(folder.last).source["backend"] == "jax"
    assert train("--resume", str(folder.root)) == 0
    assert [line["backend"] for line in read_metrics(folder.metrics)] == ["torch"] + ["jax"] * 4
    capsys.readouterr()
    assert train("--resume", str(folder.root)) == 0
    assert "finished" in capsys.readouterr().out


def test_a_run_that_failed_before_its_first_save_goes_on(train: Train, tmp_path: Path, capsys: Streams) -> None:
    """In the framework that it was begun in, as a killed one does."""

    def moment(name: str, step: int) -> None:
        raise MemoryError("no memory today")

    folder = RunFolder(tmp_path / "run")
    assert train(*SHORT, "--backend", "tf", "--out", str(folder.root), moment=moment) == 2
    assert read_training(folder.last).step == 0
    assert train("--resume", str(folder.root), "--stop-after", "2") == 0
    assert [line["backend"] for line in read_metrics(folder.metrics)] == ["tf"]
    initial_state = dataclasses.replace(read_training(folder.last), source={})
    write_training(initial_state, folder.last)
    capsys.readouterr()
    assert train("--resume", str(folder.root)) == 2
    assert_one_error(capsys, "last.safetensors", "--backend")


def test_a_step_that_is_passed_is_said(train: Train, tmp_path: Path, capsys: Streams) -> None:
    root = str(tmp_path / "run")
    assert train(*SHORT, "--backend", "torch", "--out", root, "--stop-after", "3") == 0
    assert "nothing to train" not in capsys.readouterr().err
    assert train("--resume", root, "--stop-after", "2") == 0
    assert "--stop-after 2: nothing to train, the run is at step 3 already" in capsys.readouterr().err
    assert read_training(RunFolder(root).last).step == 3


def test_an_interruption_says_how_to_go_on(train: Train, tmp_path: Path, capsys: Streams) -> None:
    def moment(name: str, step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    folder = RunFolder(tmp_path / "a run")
    assert train(*SHORT, "--backend", "torch", "--out", str(folder.root), moment=moment) == 130
    out, error = capsys.readouterr()
    assert f"danet train --resume '{folder.root}'" in " ".join(out.split())
    assert "Ctrl-C again stops at once" in error
    assert read_training(folder.last).step == 3


def test_a_loss_that_is_no_number(train: Train, tmp_path: Path, capsys: Streams) -> None:
    arguments = [*SHORT, "--backend", "torch", "--out", str(tmp_path / "run"), "--save-every", "1"]
    assert train(*arguments, loss=lambda step: float("nan") if step == 5 else 1.0) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("danet: the loss of step 5 is nan; ")
    assert "holds step 4" in last


def test_a_full_disk_names_the_run(
    train: Train, tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moment(name: str, step: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full(*arguments: object) -> None:
        moment("write", 0)

    root = tmp_path / "run"
    new = [*SHORT, "--backend", "torch", "--out", str(root)]
    with monkeypatch.context() as patch:
        patch.setattr("danet_common.training.folder.write_training", full)
        assert train(*new) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"danet: {root}: No space left on device"
    assert not root.exists()
    assert train(*new, moment=moment) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"danet: {root}: No space left on device"


@pytest.mark.parametrize("output", SHORTAGES)
def test_too_little_memory(output: Exception, train: Train, tmp_path: Path, capsys: Streams) -> None:
    def moment(name: str, step: int) -> None:
        raise output

    assert train(*SHORT, "--backend", "torch", "--out", str(tmp_path / "run"), moment=moment) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("danet: out of memory (")
    assert "gradient_accumulation_steps" in last


TORCH = ("--backend", "torch", "--out", "run")
NEW = (*TORCH, "--network", "danet_tiny")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "scenes"), ("--data and --out",)),
        (("--data", "city:/data", *NEW), ("unknown data set 'city'",)),
        (("--data", "camvid:/absent", *NEW), ("/absent",)),
        (("--data", "scenes:x", *NEW), ("scenes:COUNT",)),
        (("--data", "scenes", *NEW, "--split", "trial"), ("trial",)),
        (("--data", "scenes", *NEW, "--recipe", "mmseg-41k"), ("mmseg-41k", "mmseg-40k")),
        (("--data", "scenes", *TORCH, "--network", "danet_r19"), ("danet_r19", "danet_r18")),
        (("--data", "scenes", *NEW, "--set", "stride=8"), ("stride", "output_stride")),
        (("--data", "scenes", *NEW, "--set", "steps=many"), ("steps", "a whole number")),
        (("--data", "scenes", *NEW, "--set", "steps=0"), ("steps", "at least 1")),
        (("--data", "scenes", *NEW, "--set", "crop=9"), ("crop",)),
        (("--data", "scenes", *NEW, "--set", "output_stride=4"), ("output_stride", "8 or 16 or 32")),
        (("--data", "scenes", *NEW, "--set", "num_classes=9"), ("num_classes", "data set")),
        (("--data", "scenes", *NEW, "--set", "class_weights=1,2"), ("class_weights", "2 items", "7")),
        (("--data", "scenes", *NEW, "--set", "learning_rate=1e300"), ("learning_rate", "at most 1e+09")),
        (("--data", "scenes", *NEW, "--set", "learning_rate=nan"), ("learning_rate", "a finite number")),
        (("--data", "scenes", *NEW, "--set", "clip_norm=inf"), ("clip_norm", "a finite number")),
        (("--data", "scenes", *NEW, "--set", "poly_power=-1"), ("poly_power", "0 or more")),
        (("--data", "scenes", *NEW, "--set", f"seed={'9' * 5000}"), ("seed", "a whole number")),
        (("--data", "scenes", *NEW, "--set", "batch_size=1000000000"), ("recipe.batch_size", "pixels")),
        (("--data", "scenes", *NEW, "--set", "crop=99999x9"), ("crop", "65535")),
        (("--data", "scenes", *NEW, "--set", "scale=1e-300,1e300"), ("scale", "100")),
        (("--data", "scenes:999999999999", *NEW), ("at most 100000",)),
        (("--data", "scenes", *NEW, "--save-every", "0"), ("--save-every", "equal to 1")),
        (
            ("--data", "scenes", *NEW, "--set", "batch_size=6", "--set", "gradient_accumulation_steps=4"),
            ("batch_size", "gradient_accumulation_steps"),
        ),
        (("--resume", "absent"), ("absent", "run.json")),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: Streams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("crop=")]
    assert len(lines) == 1
    assert lines[0].startswith("danet: ")
    assert all(word in lines[0] for word in words), lines
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused(train: Train, tmp_path: Path, capsys: Streams) -> None:
    root = tmp_path / "run"
    new = [*SHORT, "--backend", "torch", "--out", str(root)]
    assert train(*new, "--stop-after", "1") == 0
    before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    capsys.readouterr()
    assert train(*new) == 2
    assert_one_error(capsys, f"danet train --resume {root}")
    assert {path: path.stat().st_mtime_ns for path in root.iterdir()} == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    assert train(*SHORT, "--backend", "torch", "--out", str(tmp_path / "other")) == 2
    assert_one_error(capsys, "not empty")
    (tmp_path / "photo.jpg").write_text("mine")
    assert train(*SHORT, "--backend", "torch", "--out", str(tmp_path / "photo.jpg")) == 2
    assert_one_error(capsys, "photo.jpg is a file, not a folder")
    assert train(*SHORT, "--backend", "torch", "--out", str(tmp_path / "photo.jpg" / "run")) == 2
    assert "photo.jpg is a file, not a folder" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_a_run_that_is_being_trained_is_refused(train: Train, tmp_path: Path, capsys: Streams) -> None:
    root = tmp_path / "run"
    assert train(*SHORT, "--backend", "torch", "--out", str(root), "--stop-after", "1") == 0
    before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    capsys.readouterr()
    with RunFolder(root).held():
        assert train("--resume", str(root)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"danet: {root}: another process is training this run"
    assert {path: path.stat().st_mtime_ns for path in root.iterdir()} == before
    assert train("--resume", str(root)) == 0


def test_a_run_is_a_network(train: Train, tmp_path: Path, capsys: Streams) -> None:
    """Its best weights, or the last ones before any validation; of a folder with neither, one line."""
    root, other = tmp_path / "run", tmp_path / "other"
    assert train(*SHORT, "--backend", "torch", "--out", str(root), "--stop-after", "1") == 0
    capsys.readouterr()
    new = (*SHORT, "--backend", "torch", "--stop-after", "1", "--network")
    assert train(*new, str(root), "--out", str(other)) == 0
    taken = "a run's folder: took last.safetensors, as there is no best.safetensors yet"
    assert f"{root}: {taken}" in capsys.readouterr().err.splitlines()
    trained, begun = read_training(root), read_training(other)
    name = "backbone.conv1.weight"
    assert np.array_equal(begun.tensors[name], trained.tensors[name])
    assert train("--resume", str(root)) == 0
    capsys.readouterr()
    assert train(*new, str(root), "--out", str(tmp_path / "third")) == 0
    assert f"{root}: a run's folder: took best.safetensors" in capsys.readouterr().err.splitlines()
    with_plan = tmp_path / "without weights"
    with_plan.mkdir()
    (tmp_path / "empty").mkdir()
    (with_plan / "run.json").write_bytes((root / "run.json").read_bytes())
    for folder, output in (
        (with_plan, "without best.safetensors and last"),
        (tmp_path / "empty", "not a run's folder"),
    ):
        assert train(*new, str(folder), "--out", str(tmp_path / "no")) == 2
        assert_one_error(capsys, f"{folder}: ", output)


def test_a_run_trains_longer(train: Train, tmp_path: Path, capsys: Streams) -> None:
    """The weights are kept, and the next steps are those of a run of that many steps."""
    folder = RunFolder(tmp_path / "run")
    assert train(*SHORT, "--backend", "torch", "--out", str(folder.root)) == 0
    assert train("--resume", str(folder.root), "--stop-after", "9") == 2
    longer = f"danet train --resume {folder.root} --set steps=9"
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"the run ended at step 6. To train longer: {longer}")
    for steps, output in (("6", "at step 6"), ("0", "at step 6"), ("x", "a whole number"), ("9,9", "a whole number")):
        assert train("--resume", str(folder.root), "--set", f"steps={steps}") == 2
        assert_one_error(capsys, "steps", output)
    assert train("--resume", str(folder.root), "--set", "steps=9", "--stop-after", "7") == 0
    output = capsys.readouterr().err
    assert "steps=9: they were 6; from step 6 on the learning rate follows the new schedule" in output
    assert (folder.read_plan().recipe.steps, read_training(folder.last).step) == (9, 7)
    assert train("--resume", str(folder.root), "--stop-after", "12") == 0
    assert "the run ends at step 9. To train longer" in capsys.readouterr().err
    assert read_training(folder.last).step == 9
    rates = {line["step"]: line["learning_rate"] for line in read_metrics(folder.metrics) if "losses" in line}
    recipe = folder.read_plan().recipe
    assert [rates[step] for step in (8, 9)] == [learning_rate(recipe, 7), learning_rate(recipe, 8)]
    assert rates[6] == learning_rate(recipe.replace(steps=6), 5)


def test_a_run_whose_data_are_gone_names_its_file(train: Train, tmp_path: Path, capsys: Streams) -> None:
    folder = RunFolder(tmp_path / "run")
    assert train(*SHORT, "--backend", "torch", "--out", str(folder.root), "--stop-after", "1") == 0
    content = json.loads(folder.plan.read_text())
    for field, spec in (("data", "scenes:999999999999"), ("val", "folder:/nowhere")):
        folder.plan.write_text(json.dumps({**content, field: spec}))
        capsys.readouterr()
        assert train("--resume", str(folder.root)) == 2
        assert_one_error(capsys, f"danet: {folder.plan}: {field}: ")
    folder.plan.write_text(json.dumps(content))
    assert train("--resume", str(folder.root), "--val", "folder:/nowhere") == 2
    assert_one_error(capsys, "danet: /nowhere: no such folder")


def test_a_run_keeps_what_it_was_begun_with(train: Train, tmp_path: Path, capsys: Streams) -> None:
    root = str(tmp_path / "run")
    assert train(*SHORT, "--backend", "torch", "--out", root, "--stop-after", "1") == 0
    capsys.readouterr()
    refused = [
        ("--set", "seed=9"),
        ("--recipe", "mmseg-40k"),
        ("--network", "danet_r50"),
        ("--out", "other"),
        ("--validate-every", "3"),
        ("--val-split", "test"),
    ]
    for option in refused:
        assert train("--resume", root, *option) == 2
        assert_one_error(capsys, option[0])
    assert train("--resume", root, "--data", "scenes:5") == 2
    assert "the data of this run are not those" in capsys.readouterr().err.splitlines()[-1]
    assert train("--resume", root, "--val", "scenes:3") == 2
    assert "validated with before" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("damage", ["last gone", "last cut", "run.json cut", "another's last"])
def test_a_damaged_run_is_one_line(damage: str, train: Train, tmp_path: Path, capsys: Streams) -> None:
    folder = RunFolder(tmp_path / "run")
    assert train(*SHORT, "--backend", "torch", "--out", str(folder.root), "--stop-after", "1") == 0
    if damage == "last gone":
        folder.last.unlink()
    elif damage == "last cut":
        folder.last.write_bytes(folder.last.read_bytes()[:-9])
    elif damage == "run.json cut":
        folder.plan.write_text(folder.plan.read_text()[:-9])
    else:
        other = tmp_path / "other"
        assert train(*SHORT, "--set", "seed=5", "--backend", "torch", "--out", str(other), "--stop-after", "1") == 0
        folder.last.write_bytes(RunFolder(other).last.read_bytes())
    capsys.readouterr()
    assert train("--resume", str(folder.root)) == 2
    assert_one_error(capsys, "run.json" if damage == "run.json cut" else "last.safetensors")


def make_folder(root: Path, *labels: int) -> Path:
    """A data set of two classes, two pictures and these labels in each."""
    write_list(root / "classes.txt", "a", "b")
    for index in range(2):
        write_image(root / f"images/{index}.png")
        write_labels(root / f"labels/{index}.png", *labels)
    return root


def test_data_are_looked_at_before_anything_is_written(train: Train, tmp_path: Path, capsys: Streams) -> None:
    data = make_folder(tmp_path / "data", 0, 1, 7)
    new = ["--network", "danet_tiny", "--backend", "torch", "--out", str(tmp_path / "run"), "--set", "batch_size=1"]
    assert train("--data", f"folder:{data}", *new) == 2
    assert f"{data}/labels/0.png: class id out of range: 7" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert train("--data", "scenes", "--val", f"folder:{data}", *new) == 2
    assert "the classes of" in capsys.readouterr().err.splitlines()[-1]


def test_a_run_goes_on_from_any_folder(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, root = make_folder(tmp_path / "data", 0, 1, 255), tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    new = ["--network", "danet_tiny", "--backend", "torch", "--out", str(root), "--set", "batch_size=1"]
    assert train("--data", "folder:data", *new, "--set", "steps=2", "--stop-after", "1") == 0
    assert RunFolder(root).read_plan().augmentation.crop == (4, 6)  # the pictures' size
    monkeypatch.chdir("/")
    assert train("--resume", str(root), "--stop-after", "1") == 0
    data.rename(tmp_path / "moved")
    assert train("--resume", str(root)) == 2
    moved = f"folder:{tmp_path / 'moved'}"
    assert train("--resume", str(root), "--data", moved, "--val", moved) == 0


def test_a_run_does_not_go_on_with_other_classes(train: Train, tmp_path: Path, capsys: Streams) -> None:
    """An equal number of classes and the same pictures are not enough: labels would change their meaning."""
    data, root = make_folder(tmp_path / "data", 0, 1, 255), tmp_path / "run"
    new = ["--network", "danet_tiny", "--backend", "torch", "--out", str(root), "--set", "batch_size=1"]
    assert train("--data", f"folder:{data}", *new, "--set", "steps=2", "--stop-after", "1") == 0
    write_list(data / "classes.txt", "b", "a")
    capsys.readouterr()
    assert train("--resume", str(root)) == 2
    assert_one_error(capsys, f"the classes of folder:{data} train are not those that the run was begun with")


def test_what_is_typed_next_is_of_the_split_that_was_validated_with(
    train: Train, tmp_path: Path, capsys: Streams
) -> None:
    assert train(*SHORT, "--val-split", "test", "--backend", "torch", "--out", str(tmp_path / "run")) == 0
    assert "danet eval --data scenes:2 --split test --weights" in " ".join(capsys.readouterr().out.split())


def test_a_checkpoint_of_any_format_is_fine_tuned(train: Train, tmp_path: Path, capsys: Streams) -> None:
    config = VARIANTS["danet_tiny"].replace(num_classes=3, output_stride=16)
    source = tmp_path / "trained.safetensors"
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), source)
    assert run(["convert", str(source), str(tmp_path / "trained.pth")]) == 0
    new = ["--data", "scenes:4", "--val", "none", "--set", "batch_size=2", "--set", "steps=2"]
    new += ["--backend", "torch", "--network", str(tmp_path / "trained.pth"), "--set", "output_stride=8"]
    capsys.readouterr()
    assert train(*new, "--out", str(tmp_path / "run"), "--stop-after", "1") == 0
    assert "classifiers are drawn anew: the checkpoint has 3 classes, the data 7" in capsys.readouterr().err
    begun = read_training(RunFolder(tmp_path / "run").last)
    assert (begun.config.num_classes, begun.config.output_stride) == (7, 8)
    name = "backbone.layer4.1.conv2.weight"
    assert np.array_equal(begun.tensors[name], synthetic_tensors(config)[name])
    assert train(*new, "--out", str(tmp_path / "wide"), "--set", "head_channels=32") == 2
    assert "the network asked for is not that of the checkpoint" in capsys.readouterr().err.splitlines()[-1]


def test_a_backbone_is_begun_from(train: Train, tmp_path: Path, capsys: Streams) -> None:
    other = VARIANTS["danet_tiny"].replace(num_classes=3, head_channels=8)
    write_checkpoint(Checkpoint(other, synthetic_tensors(other)), tmp_path / "other.safetensors")
    new = [*SHORT, "--backend", "torch", "--stop-after", "1", "--backbone", str(tmp_path / "other.safetensors")]
    assert train(*new, "--out", str(tmp_path / "run")) == 0
    folder = RunFolder(tmp_path / "run")
    begun, drawn = read_training(folder.last), initial_tensors(folder.read_plan().config)
    assert np.array_equal(begun.tensors["backbone.conv1.weight"], synthetic_tensors(other)["backbone.conv1.weight"])
    assert np.array_equal(begun.tensors["head.position_in.conv.weight"], drawn["head.position_in.conv.weight"])
    capsys.readouterr()
    assert train(*new, "--out", str(tmp_path / "wide"), "--set", "widths=9,12,16,32") == 2
    assert "other.safetensors" in capsys.readouterr().err.splitlines()[-1]


def test_what_fine_tuning_takes_over() -> None:
    trained = VARIANTS["danet_tiny"].replace(num_classes=7, class_names=tuple("abcdefg"))
    checkpoint, output = Checkpoint(trained, synthetic_tensors(trained)), list[str]()
    tensors = fine_tuned(checkpoint, trained.replace(auxiliary="fcn"), 3, output.append)
    drawn = initial_tensors(trained.replace(auxiliary="fcn"), 3)
    for name, array in tensors.items():
        expected_values = drawn[name] if name.startswith("auxiliary.") else checkpoint.tensors[name]
        assert np.array_equal(array, expected_values), name
    assert output == ["drawn anew: auxiliary.hidden, auxiliary.classifier"]
    output.clear()
    fine_tuned(checkpoint, trained.replace(context=("position",), class_names=tuple("1234567")), 3, output.append)
    assert output[0] == "classifiers are kept although the checkpoint's classes have other names"
    assert output[1].startswith("left out: head.channel_in, head.channel_attention")
    with pytest.raises(CheckpointError, match=r"backbone\.layer1"):
        fine_tuned(checkpoint, trained.replace(widths=(9, 12, 16, 32)), 3, output.append)


RECORDS = [
    {"step": 1, "losses": {"loss": 2.0, "fused": 1.0}, "learning_rate": 0.1, "images_per_second": 3, "backend": "jax"},
    {"step": 1, "mean_iou": 0.25, "pixel_accuracy": 0.5, "iou": {"a": 0.25, "b": None}, "backend": "jax"},
    {"step": 2, "losses": {"loss": 1.5, "fused": 0.5}, "learning_rate": 0.2, "images_per_second": 3, "backend": "tf"},
]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_curves(count: int, tmp_path: Path) -> None:
    draw_curves(RECORDS[:count], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert min(picture.size) > 500


def test_one_logged_point_is_seen_and_steps_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, format, dpi: figures.append(figure))
    draw_curves([{**record, "step": 4} for record in RECORDS[:2]], tmp_path / "curves.png")
    for axes in figures[0].axes:
        drawn = [line for line in axes.lines if np.size(line.get_xdata())]
        assert drawn
        assert all(line.get_marker() == "." for line in drawn)
        ticks = axes.get_xticks()
        assert np.array_equal(ticks, np.rint(ticks)), ticks


def read_events(path: Path) -> Iterator[Any]:
    """Read the events as TensorBoard does, with checksums. TensorBoard's own loader imports TensorFlow."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    reader = PyRecordReader_New(str(path))
    with contextlib.suppress(OutOfRangeError):
        while True:
            reader.GetNext()
            yield Event.FromString(reader.record())


def test_events_are_tensorboards(tmp_path: Path) -> None:
    """Events of a step that was repeated after a kill are shown once."""
    for step, records in ((0, RECORDS), (1, RECORDS[2:])):
        events = Events(tmp_path, step)
        for record in records:
            events.write(record)
        events.close()
    first, second = sorted(tmp_path.iterdir(), key=lambda path: path.suffix)
    values = [(event.step, value) for event in read_events(first) for value in event.summary.value]
    actual = {(step, value.tag): value.simple_value for step, value in values}
    assert actual[1, "losses/fused"] == 1.0
    assert actual[1, "iou/a"] == 0.25
    assert actual[2, "learning_rate"] == pytest.approx(0.2)
    assert (1, "iou/b") not in actual
    starts = [event.step for event in read_events(second) if event.HasField("session_log")]
    assert starts == [2]  # from which on TensorBoard forgets the earlier file


def test_the_live_display(train: Train, tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown: list[str] = []

    class Noted(danet_cli.train.display.LiveDisplay):
        def __exit__(self, *exception: object) -> None:
            shown.append(self.text.plain)
            super().__exit__(*exception)

    monkeypatch.setattr(danet_cli.train.display, "LiveDisplay", Noted)
    assert train(*SHORT, "--backend", "torch", "--out", str(tmp_path / "run")) == 0
    last = read_metrics(RunFolder(tmp_path / "run").metrics)[-1]
    for word in ("loss ", "fused ", "rate ", "images/s ", "left 0:00:00", f"mIoU {last['mean_iou']:.4f} at step 6"):
        assert word in shown[0]


def test_the_plain_display_is_calm(train: Train, tmp_path: Path, capsys: Streams) -> None:
    arguments = [*SCENES, "--set", "steps=30", "--set", "crop=33x41", "--log-every", "1", "--val", "none"]
    for settings, again in (((), False), (("--set", "remat=true"), True)):
        assert train(*arguments, *settings, "--backend", "torch", "--out", str(tmp_path / str(again))) == 0
        lines = capsys.readouterr().err.splitlines()
        assert [line.split()[1] for line in lines if line.startswith("step ")] == ["1/30", "30/30"]
        assert again == any(line.endswith("from the first step, activation checkpointing") for line in lines)


@pytest.mark.slow
def test_the_page_of_training(start: Start, tmp_path: Path) -> None:
    """Its commands, in their order, in an empty folder."""
    for backend in NETWORKS:
        start(backend)
    scripts = Path(sys.executable).parent  # where the `danet` command is
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    actual = [text for language, text in blocks("docs/training.md") if language == "sh"]
    assert len(actual) == 2
    for text in actual:
        done = subprocess.run(
            ["sh", "-ec", text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (text, done.stdout[-2000:], done.stderr[-2000:])


def test_masks_of_0_and_255_are_refused_before_a_folder_is_made(train: Train, tmp_path: Path, capsys: Streams) -> None:
    write_list(tmp_path / "data/classes.txt", "background", "foreground", "other")
    for split in ("train", "val"):
        write_image(tmp_path / f"data/{split}/images/a.png", 12, 16)
        write_labels(tmp_path / f"data/{split}/labels/a.png", 0, 0, 255, height=12, width=16)
    run_folder = tmp_path / "run"
    options = ["--data", f"folder:{tmp_path / 'data'}", "--backend", "torch", "--network", "danet_tiny"]
    options += ["--set", "steps=2", "--set", "batch_size=1", "--set", "crop=9x9", "--out", str(run_folder)]
    assert train(*options) == 2
    assert_one_error(capsys, "nothing but 0 and 255")
    assert not run_folder.exists()
    assert train(*options, "--set", "label_map=255:1") == 0
    out, error = capsys.readouterr()
    assert f"folder:{tmp_path / 'data'} train: 1 of 3 classes in no label: other\n" in error
    assert "--set label_map=255:1 --weights" in " ".join(out.split())
    assert RunFolder(run_folder).read_plan().labels == LabelSettings(label_map=((255, 1),))
    assert train("--resume", str(run_folder)) == 0
    fields = json.loads((run_folder / "run.json").read_text())
    del fields["labels"]  # as runs before it have it
    assert RunPlan.from_dict(fields).labels == LabelSettings()


def test_validation_on_the_pictures_that_are_learned_from_is_said(
    train: Train, tmp_path: Path, capsys: Streams
) -> None:
    write_list(tmp_path / "data/classes.txt", "a", "b")
    write_image(tmp_path / "data/images/a.png", 12, 16)
    write_labels(tmp_path / "data/labels/a.png", 0, 1, height=12, width=16)
    options = ["--data", f"folder:{tmp_path / 'data'}", "--backend", "torch", "--network", "danet_tiny"]
    options += ["--set", "steps=2", "--set", "batch_size=1", "--set", "crop=9x9", "--out", str(tmp_path / "run")]
    assert train(*options) == 0
    assert (
        "val: the same images as the training data; the mIoU says nothing about new images" in capsys.readouterr().err
    )
