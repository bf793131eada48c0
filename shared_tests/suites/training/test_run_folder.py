"""A run's folder: made by exactly one process, held by one at a time, and never with other files than its own."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from danet_common.extras import TRAINING
from danet_common.files.temporary import part_path
from danet_common.training.folder import RunFolder
from danet_common.training.lock import RunError, locked
from danet_common.training.training_checkpoint import read_training
from shared_tests.suites.cli.test_cli import assert_one_error
from shared_tests.suites.cli.test_train_command import SHORT, Streams
from shared_tests.suites.conftest import Start, Train
from shared_tests.suites.training.test_resume import Killed, begin

RACERS, ROUNDS = 6, 4
MADE = ["last.safetensors", "run.json"]


@pytest.mark.parametrize("there", [False, True], ids=["absent", "empty"])
def test_of_many_that_make_it_at_once_one_does(there: bool, tmp_path: Path) -> None:
    for number in range(ROUNDS):
        root, barrier = tmp_path / str(number), threading.Barrier(RACERS)
        if there:
            root.mkdir()

        def make(root: Path = root, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            try:
                begin(root)
            except RunError as error:
                return str(error)
            return "made"

        with ThreadPoolExecutor(RACERS) as pool:
            racers = [pool.submit(make) for _ in range(RACERS)]
        output = [racer.result() for racer in racers]
        assert output.count("made") == 1
        assert all(text == "made" or (text.startswith(f"{root}") and text.isprintable()) for text in output)
        assert sorted(path.name for path in root.iterdir()) == MADE
        assert RunFolder(root).read_last(RunFolder(root).read_plan()).step == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(number) for number in range(ROUNDS)]


@pytest.mark.skipif(os.name != "posix", reason="no locks there")
def test_who_makes_a_run_keeps_others_out(tmp_path: Path) -> None:
    folder = begin(tmp_path / "before")
    plan = folder.read_plan()
    initial_state = folder.read_last(plan)
    for name in ("absent", "empty"):
        root = tmp_path / name
        if name == "empty":
            root.mkdir()
        with RunFolder(root).created(plan, initial_state):
            refuse_another(root)
        with RunFolder(root).held():
            RunFolder(root).set_steps(20)  # replaces run.json
            refuse_another(root)
        assert RunFolder(root).read_plan().recipe.steps == 20


def refuse_another(root: Path) -> None:
    with pytest.raises(RunError, match="another process is training this run"), RunFolder(root).held():
        pytest.fail("two are in it")


@pytest.mark.parametrize("there", [False, True], ids=["absent", "empty"])
@pytest.mark.parametrize("writes", range(2))
def test_a_failure_while_it_is_made(writes: int, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left, neither of the checkpoint nor of the plan, and an empty folder stays."""
    root = tmp_path / "run"
    if there:
        root.mkdir()
    replace, done = os.replace, list[Path]()

    def dying(source: Path, target: Path) -> None:
        if len(done) == writes:
            raise Killed
        done.append(target)
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        with pytest.raises(Killed):
            begin(root)
    assert [*tmp_path.rglob("*")] == [root] * there
    begin(root)
    assert sorted(path.name for path in root.iterdir()) == MADE


def test_parts_of_a_killed_process_are_no_files_of_a_user(tmp_path: Path) -> None:
    part_path(tmp_path / "last.safetensors", 0).write_bytes(b"half")
    begin(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == MADE


# What a user may type after --out in an empty folder, and what is made before: folders, or a link with its target.
FORMS: dict[str, tuple[str, ...]] = {
    ".": (),
    "here": ("here",),
    "absent": (),
    "here/": ("here",),
    "here/../../{name}/here": ("here",),
    "a/b/c": (),
    "{folder}/here": ("here",),
    "link": ("here", "link -> here"),
    "hanging": ("hanging -> absent",),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.needs(*TRAINING)
def test_every_form_of_out(
    form: str, train: Train, tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for made in FORMS[form]:
        name, _, target = made.partition(" -> ")
        Path(name).symlink_to(target) if target else Path(name).mkdir()
    out = form.format(name=tmp_path.name, folder=tmp_path)
    identity = Path(out).stat().st_ino if Path(out).exists() else None
    assert train(*SHORT, "--backend", "torch", "--out", out, "--stop-after", "1") == 0
    assert f"danet train --resume {Path(out)}" in " ".join(capsys.readouterr().out.split())
    assert train("--resume", out, "--stop-after", "2") == 0
    assert read_training(out).step == 2
    assert not [path for path in Path(out).iterdir() if path.name.startswith(".")]
    if identity is not None:
        assert Path(out).stat().st_ino == identity  # the folder itself: a shell may be in it


@pytest.mark.needs(*TRAINING)
def test_what_is_no_place_for_a_run(train: Train, tmp_path: Path, capsys: Streams) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    for name, output in (
        ("full", "not empty"),
        ("loop", "not a folder"),
        ("pipe", "not a folder"),
        ("pipe/run", "pipe"),
    ):
        assert train(*SHORT, "--backend", "torch", "--out", str(tmp_path / name)) == 2
        assert_one_error(capsys, output)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name != "posix", reason="no locks there")
@pytest.mark.needs(*TRAINING)
def test_a_run_is_read_when_no_other_process_trains_it(
    train: Train, tmp_path: Path, capsys: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process goes on with it while this one imports its framework: this one goes on where that ended."""
    root = str(tmp_path / "run")
    assert train(*SHORT, "--backend", "torch", "--out", root, "--stop-after", "1") == 0
    import danet_cli.train.drive

    join, meanwhile = danet_cli.train.drive.join, ["--stop-after", "4"]

    def slowly(backend: str) -> object:
        if meanwhile:
            arguments = [*meanwhile]
            meanwhile.clear()
            assert danet_cli.main.run(["train", "--resume", root, *arguments]) == 0
            capsys.readouterr()
        return join(backend)  # type: ignore[arg-type]

    monkeypatch.setattr("danet_cli.train.drive.join", slowly)
    assert danet_cli.main.run(["train", "--resume", root, "--stop-after", "5"]) == 0
    assert "a fake process, from step 4" in capsys.readouterr().err
    assert read_training(root).step == 5


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTSUP])
def test_a_lock_that_fails_is_said_unless_the_file_system_has_none(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def fail(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    refused = pytest.raises(RunError, match="cannot lock the folder") if number == errno.EIO else nullcontext()
    with refused, locked(tmp_path, tmp_path):
        pass


@pytest.mark.slow
def test_two_new_runs_at_once(start: Start, tmp_path: Path) -> None:
    """By the command: one trains, the other ends with one line and writes nothing."""
    start("torch")
    for number in range(3):
        root = tmp_path / str(number)
        words = [sys.executable, "-m", "danet_cli.main", "train", *SHORT, "--backend", "torch", "--out", str(root)]
        both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        output = [process.communicate(timeout=300)[1] for process in both]
        codes = [process.returncode for process in both]
        assert sorted(codes) == [0, 2], output
        lines = output[codes.index(2)].splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith(f"danet: {root}"), lines
        assert read_training(root).step == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
