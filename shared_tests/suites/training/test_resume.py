"""A run that is stopped, killed or handed over goes on as if nothing had been."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import danet_common.files.atomic
import danet_common.training.loop
from danet_common import VARIANTS, initial_tensors, read_checkpoint
from danet_common.config.recipe import TrainConfig
from danet_common.data import Augmentation, DataError, Loader, Sample, Sampler
from danet_common.data.scenes import Scenes
from danet_common.extras import TRAINING
from danet_common.files.atomic import atomic_file
from danet_common.files.temporary import part_path
from danet_common.training.callback import Callback
from danet_common.training.folder import RunFolder
from danet_common.training.lock import RunError
from danet_common.training.loop import DivergenceError, StopReason, Trainer, data_state
from danet_common.training.metrics_file import read_metrics
from danet_common.training.plan import Intervals, RunPlan
from danet_common.training.signals import Interruption
from danet_common.training.training_checkpoint import initial_state, read_training
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.suites.training.fake_framework import NAME, FakeDistributed, FakeState, fake_framework

pytestmark = pytest.mark.needs(*TRAINING)

ROOT = Path(__file__).parents[3]
HANDOVER = 1e-9  # of a tensor's largest value, in float64
UNSEEN = "position_attention.key.bias"  # softmax does not see it: what begins at 0 stays rounding noise, 1e-17

STEPS = 11
RECIPE = TrainConfig(steps=STEPS, batch_size=2)
PLAN = RunPlan(
    data="scenes:5",
    split="train",
    val="scenes:2",
    val_split="val",
    network="danet_tiny",
    backbone=None,
    recipe_name=None,
    config=VARIANTS["danet_tiny"].replace(num_classes=7),
    recipe=RECIPE,
    augmentation=Augmentation(crop=(9, 11), scale=(1.0, 1.0)),
    intervals=Intervals(log=4, save=3, validate=5),  # no two of them together but at the end
    version="0",
)
LEARNED, VALIDATED = Scenes(5, "train", 12, 14), Scenes(2, "val", 12, 14)


class Killed(BaseException):
    """The process is gone: nothing may be done any more."""


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves take longer than all the rest of a run with the fake framework."""
    monkeypatch.setattr(danet_common.training.loop, "draw_curves", lambda records, path: None)


def begin(root: Path, plan: RunPlan = PLAN) -> RunFolder:
    """A run before its first step."""
    folder, training = RunFolder(root), initial_state(plan.config, plan.recipe, initial_tensors(plan.config))
    training.data = data_state(loader_of(plan), VALIDATED)
    with folder.created(plan, training):
        pass  # another process may take the run
    return folder


def loader_of(plan: RunPlan, dataset: Scenes = LEARNED) -> Loader:
    order = Sampler(count=len(dataset), batch_size=plan.recipe.batch_size, seed=plan.recipe.seed)
    return Loader(dataset, plan.augmentation, plan.config, order, threads=0)


def go_on(folder: RunFolder, stop_after: int | None = None, distributed: Any = None, **options: Any) -> StopReason:
    """Read the run's files and train, as a new process does."""
    plan = folder.read_plan()
    training, loader = folder.read_last(plan), loader_of(plan)
    run = Trainer(
        plan,
        folder,
        fake_framework(**options),
        distributed or FakeDistributed(),
        training,
        loader,
        VALIDATED,
        Callback(),
    )
    try:
        return run.train(stop_after)
    finally:
        run.close()


def left(folder: RunFolder) -> list[Any]:
    """All that a run leaves, but for the pace: what must be the same."""
    actual: list[Any] = []
    last, best = read_training(folder.last), read_checkpoint(folder.best)
    actual += [last.step, last.data, last.recipe, best.config, best.source]
    for arrays in (last.tensors, last.slots, best.tensors):
        actual.append({name: array.tobytes() for name, array in arrays.items()})
    lines = read_metrics(folder.metrics)
    return [*actual, [{n: v for n, v in line.items() if n != "images_per_second"} for line in lines]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Return the files of an uninterrupted run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(danet_common.training.loop, "draw_curves", lambda records, path: None)
        folder = begin(tmp_path_factory.mktemp("runs") / "whole")
        assert go_on(folder) is StopReason.FINISHED
    steps = [(line["step"], "mean_iou" in line) for line in read_metrics(folder.metrics)]
    assert steps == [(4, False), (5, True), (8, False), (10, True), (11, False), (11, True)]
    return left(folder)


def test_stopped_and_gone_on_with(tmp_path: Path, whole: list[Any]) -> None:
    folder = begin(tmp_path / "run")
    for step in (1, 1, 4, 5, 7, 10):
        assert go_on(folder, stop_after=step) is StopReason.PAUSED
        assert read_training(folder.last).step == step
    assert go_on(folder) is StopReason.FINISHED
    assert left(folder) == whole
    assert go_on(folder) is StopReason.FINISHED
    assert left(folder) == whole


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_replacement_of_a_file(
    when: str, tmp_path: Path, whole: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begin(tmp_path / "run")
    kills = killed_over_and_over(folder, when, monkeypatch)
    assert kills >= 10  # four saves at intervals, three validations of up to three writes each
    assert left(folder) == whole


def killed_over_and_over(folder: RunFolder, when: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let each process replace as many files as it must to get on, and no more; how many were killed."""
    replace, kills, allowed = os.replace, 0, 0
    while True:
        calls = itertools.count(1)

        def dying(source: Any, target: Any, calls: Iterator[int] = calls, last: int = allowed) -> None:
            dies = next(calls) > last
            if dies and when == "before":
                raise Killed
            replace(source, target)
            if dies:
                raise Killed

        before = folder.last.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(danet_common.files.atomic.os, "replace", dying)
            try:
                go_on(folder)
            except Killed:
                kills += 1
            else:
                return kills
        read_training(folder.last)
        allowed = 0 if folder.last.read_bytes() != before else allowed + 1


@pytest.mark.parametrize("where", ["train_step", "predict_logits"])
def test_killed_at_every_call(where: str, tmp_path: Path, whole: list[Any]) -> None:
    folder, kills = begin(tmp_path / "run"), 0
    while True:
        calls = itertools.count(1)

        def dying(name: str, step: int, calls: Iterator[int] = calls, last: int = kills) -> None:
            if name == where and next(calls) > last:
                raise Killed

        try:
            assert go_on(folder, moment=dying) is StopReason.FINISHED
        except Killed:
            kills += 1  # so the next process lives for one more call
        else:
            break
    assert kills >= {"train_step": 5, "predict_logits": 4}[where]
    assert left(folder) == whole


def test_a_half_written_line_is_dropped(tmp_path: Path, whole: list[Any]) -> None:
    folder = begin(tmp_path / "run")
    go_on(folder, stop_after=6)
    with folder.metrics.open("a") as file:
        file.write('{"step": 8, "losses": {}, "learning_rate": 0, "images_per_second": 1, "backend": "tf"}\n{"step": 9')
    part_path(folder.last, 0).write_bytes(b"half")
    (folder.root / ".notes.part").write_text("mine")
    with atomic_file(folder.root / "converted.npz") as converting:  # another process's
        go_on(folder)
        assert converting.exists()
    assert left(folder) == whole
    assert [path.name for path in folder.root.glob(".*")] == [".notes.part"]


@pytest.mark.parametrize("line", [b"5\n", b"{}\n", b'{"step": null}\n', b"\xff\xfe\n", b"[[[\n"])
def test_a_damaged_metrics_file_is_named(line: bytes, tmp_path: Path) -> None:
    folder = begin(tmp_path / "run")
    folder.metrics.write_bytes(line)
    with pytest.raises(ValueError, match=r"metrics\.jsonl: no metrics file"):
        go_on(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(number: int, tmp_path: Path, whole: list[Any]) -> None:
    folder, handlers = begin(tmp_path / "run"), [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def moment(name: str, step: int) -> None:
        if step == 7:
            os.kill(os.getpid(), number)

    assert go_on(folder, moment=moment) is StopReason.INTERRUPTED
    assert read_training(folder.last).step == 7
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert go_on(folder) is StopReason.FINISHED
    assert left(folder) == whole


def test_a_signal_puts_the_validation_off(tmp_path: Path, whole: list[Any]) -> None:
    folder = begin(tmp_path / "run")
    asked: list[str] = []

    def moment(name: str, step: int) -> None:
        if name == "predict_logits" and not asked:
            asked.append(name)
            os.kill(os.getpid(), signal.SIGTERM)

    assert go_on(folder, moment=moment) is StopReason.INTERRUPTED
    assert read_training(folder.last).step == 5
    assert not any("mean_iou" in line for line in read_metrics(folder.metrics))
    assert not folder.best.exists()
    assert go_on(folder) is StopReason.FINISHED
    assert left(folder) == whole


def test_so_do_several_processes(tmp_path: Path, whole: list[Any]) -> None:
    """Although they heed a signal at logged steps alone, of which step 5 is none."""
    folder = begin(tmp_path / "run")

    def moment(name: str, step: int) -> None:
        if name == "predict_logits":
            os.kill(os.getpid(), signal.SIGTERM)

    assert go_on(folder, distributed=FakeDistributed(process_count=2), moment=moment) is StopReason.INTERRUPTED
    assert read_training(folder.last).step == 5
    assert go_on(folder) is StopReason.FINISHED
    assert left(folder) == whole


def test_what_was_learned_before_a_damaged_picture_is_kept(tmp_path: Path, whole: list[Any]) -> None:
    class Damaged(Scenes):
        read = 0

        def item(self, index: int) -> Sample:
            self.read += 1
            if self.read == 10:
                raise DataError("damaged.png: not a readable image")
            return super().item(index)

    folder = begin(tmp_path / "run")
    training, loader = folder.read_last(PLAN), loader_of(PLAN, Damaged(5, "train", 12, 14))
    run = Trainer(PLAN, folder, fake_framework(), FakeDistributed(), training, loader, VALIDATED, Callback())
    with pytest.raises(DataError, match="damaged"):
        run.train()
    run.close()
    assert read_training(folder.last).step == 4  # and not 3, the one that was due
    assert go_on(folder) is StopReason.FINISHED
    assert left(folder) == whole


def test_a_signal_within_a_write_is_heard() -> None:
    """A stopped terminal keeps the process in the middle of a line, and Python allows no second one within it."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")

    def meanwhile() -> None:
        select.select([reader], [], [])  # now the main thread writes more than fits
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        while os.read(reader, 1 << 16):
            pass

    thread = threading.Thread(target=meanwhile)
    thread.start()
    try:
        with Interruption(lambda: print("stopping", file=stream, flush=True)) as interruption:
            print("x" * (1 << 20), file=stream, flush=True)
        assert interruption.asked
    finally:
        stream.close()
        thread.join()
        os.close(reader)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    folder = begin(tmp_path / "run")

    def moment(name: str, step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("still here")

    with pytest.raises(KeyboardInterrupt):
        go_on(folder, moment=moment)
    assert read_training(folder.last).step == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(value: float, tmp_path: Path, whole: list[Any]) -> None:
    folder = begin(tmp_path / "run")
    with pytest.raises(DivergenceError, match=rf"the loss of step 5 is {value}.*holds step 3") as error:
        go_on(folder, loss=lambda step: value if step == 5 else 1.0)
    assert "\n" not in str(error.value)
    assert [line["step"] for line in read_metrics(folder.metrics)] == [4]
    assert go_on(folder) is StopReason.FINISHED  # the checkpoint was a good one
    assert left(folder) == whole


def test_a_weight_that_is_no_number_is_never_saved(tmp_path: Path) -> None:
    folder = begin(tmp_path / "run")
    framework = fake_framework()
    plan, training = PLAN, folder.read_last(PLAN)
    run = Trainer(plan, folder, framework, FakeDistributed(), training, loader_of(plan), None, Callback())
    run.train(stop_after=2)
    assert isinstance(run.state, FakeState)
    run.state.tensors[NAME][3] = np.inf
    with pytest.raises(DivergenceError, match=NAME):
        run._save()
    run.close()
    assert read_training(folder.last).step == 2


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    folder = begin(tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.root.iterdir() if path.is_file()}
    assert go_on(folder, distributed=FakeDistributed(process_index=1, process_count=2)) is StopReason.FINISHED
    assert {path: path.read_bytes() for path in folder.root.iterdir() if path.is_file()} == before
    assert not folder.events.exists()


def test_a_signal_to_another_process_stops_this_one_at_the_next_logged_step(tmp_path: Path) -> None:
    folder = begin(tmp_path / "run")
    go_on(folder, stop_after=1)
    assert go_on(folder, distributed=FakeDistributed(process_count=2, others=1)) is StopReason.INTERRUPTED
    assert read_training(folder.last).step == PLAN.intervals.log


def test_other_data_are_refused(tmp_path: Path) -> None:
    folder = begin(tmp_path / "run")
    training = folder.read_last(PLAN)
    for learned, validated in ((Scenes(6, "train", 12, 14), VALIDATED), (LEARNED, Scenes(3, "val", 12, 14))):
        loader = loader_of(PLAN, learned)
        with pytest.raises(ValueError, match="not th") as error:
            Trainer(PLAN, folder, fake_framework(), FakeDistributed(), training, loader, validated, Callback())
        assert "\n" not in str(error.value)


def test_a_folder_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("danet_common.training.folder.write_training", dying)
        with pytest.raises(Killed):
            begin(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    begin(tmp_path / "run")
    with pytest.raises(RunError, match="--resume"):
        begin(tmp_path / "run")


# With real frameworks, each in processes of its own.

TINY = (
    *("train", "--data", "scenes:5", "--val", "scenes:2", "--network", "danet_tiny", "--set", "batch_size=2"),
    *("--set", "crop=33x41", "--set", "ema_decay=0.9", "--save-every", "3", "--log-every", "2"),
    *("--validate-every", "6", "--set", "dropout_rate=0.3"),
)


def command(*arguments: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "danet_cli.main", *arguments]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def processes() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts commands that do not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def get(*arguments: str) -> subprocess.Popen[str]:
        started.append(command(*arguments))
        return started[-1]

    yield get
    for process in started:
        process.kill()
        process.communicate()


def await_step(folder: RunFolder, process: subprocess.Popen[str], step: int) -> None:
    while not (folder.metrics.exists() and any(line["step"] >= step for line in read_metrics(folder.metrics))):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_killed_and_gone_on_with_in_torch(start: Start, tmp_path: Path, processes: Any) -> None:
    start("torch")  # skips where it is missing
    killed, whole = RunFolder(tmp_path / "killed"), RunFolder(tmp_path / "whole")
    arguments = (*TINY, "--set", "steps=15", "--backend", "torch")
    process, uninterrupted = (processes(*arguments, "--out", str(folder.root)) for folder in (killed, whole))
    await_step(killed, process, 4)
    process.kill()
    process.communicate()
    assert read_training(killed.last).step < 15
    process = processes("train", "--resume", str(killed.root))
    for one in (process, uninterrupted):
        error = one.communicate(timeout=120)[1]
        assert one.returncode == 0, error
    assert left(killed) == left(whole)
    assert killed.curves.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("backend", NETWORKS)
def test_kills(backend: str, start: Start) -> None:
    start(backend)
    script = [sys.executable, str(ROOT / "benchmarks" / "kill_resume.py"), "--kills", "4", "--backend", backend]
    done = subprocess.run(
        script, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_handed_from_framework_to_framework(start: Start, tmp_path: Path, processes: Any) -> None:
    """Four steps in each, by nothing but the command, against the same twelve in one."""
    for backend in NETWORKS:
        start(backend)
    arguments = (*TINY, "--set", "steps=12", "--set", "dtype=float64", "--backend")
    handed, whole = RunFolder(tmp_path / "handed"), RunFolder(tmp_path / "whole")
    stations = [
        (*arguments, "torch", "--out", str(whole.root)),
        (*arguments, "torch", "--out", str(handed.root), "--stop-after", "4"),
        ("train", "--resume", str(handed.root), "--backend", "jax", "--stop-after", "8"),
        ("train", "--resume", str(handed.root), "--backend", "tf"),
    ]
    for station in stations:
        process = processes(*station)
        error = process.communicate(timeout=300)[1]
        assert process.returncode == 0, error
    expected, actual = read_training(whole.last), read_training(handed.last)
    assert actual.step == expected.step == 12
    for name, array in {**expected.tensors, **expected.slots}.items():
        other = {**actual.tensors, **actual.slots}[name]
        assert array.dtype == other.dtype, name
        size = 1.0 if UNSEEN in name else np.abs(array).max()
        assert np.abs(array - other).max() <= HANDOVER * size, name
    lines = read_metrics(handed.metrics)
    assert [line["backend"] for line in lines if "losses" in line] == ["torch"] * 2 + ["jax"] * 2 + ["tf"] * 2
    for line, true in zip(lines, read_metrics(whole.metrics), strict=True):
        assert line["step"] == true["step"]
        for name, value in true.get("losses", {}).items():
            assert line["losses"][name] == pytest.approx(value, rel=HANDOVER)
    assert json.loads(handed.plan.read_text())["recipe"]["dtype"] == "float64"
