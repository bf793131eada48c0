"""Ctrl-C and SIGTERM at any moment: one line, exit code 130, nothing left, no traceback; or the command was done."""

from __future__ import annotations

import multiprocessing
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from danet_common import VARIANTS, Checkpoint, write_checkpoint
from danet_common.child_processes import child, end_child
from danet_common.data import Augmentation, Loader, Sampler, open_dataset
from danet_common.files import unfinished
from danet_common.files.unfinished import abandon, abandoned_by, shielded, temporary_folder, uninterrupted
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.cli.interrupting import Interrupted, interrupt

TINY = VARIANTS["danet_tiny"]
LINE = "danet: interrupted\n"
WEIGHTS = ("--weights", "tiny.safetensors")

# Each with the seconds within which a signal comes: those that it takes on a machine that does nothing else.
COMMANDS = {
    "convert": (["convert", "tiny.safetensors", "tiny.orbax", "--force"], 6.0),
    "inspect": (["inspect", "tiny.safetensors", "--tensors"], 1.0),
    "check": (["check", "tiny.safetensors", "--size", "17x23"], 20.0),
    "predict": (["predict", "a.png", *WEIGHTS, "--backend", "jax", "--out", "predicted"], 12.0),
    "cost": (["cost", "--variant", "danet_tiny", "--size", "64x64", "--context", "none"], 8.0),
}
ROUNDS = 40  # of each command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint, a picture, and a place of their own for temporary files."""
    write_checkpoint(Checkpoint(TINY, synthetic_tensors(TINY)), tmp_path / "tiny.safetensors")
    Image.fromarray(np.zeros((33, 47, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return tmp_path


def assert_ended_well(actual: Interrupted, folder: Path) -> None:
    if actual.code != 0:
        assert (actual.code, actual.error) == (130, actual.error.removesuffix(LINE) + LINE)
        assert "Traceback" not in actual.error
        assert actual.error.count(LINE) == 1
    assert not actual.left
    assert not list((folder / "temporary").glob("danet-*"))


@pytest.mark.slow
@pytest.mark.serial  # random moments of a command's own duration
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", COMMANDS)
def test_two_hundred_signals_at_random_moments(name: str, folder: Path) -> None:
    """To the process or, as a terminal sends it, to its workers as well; once or several times."""
    arguments, seconds = COMMANDS[name]
    moments = random.Random(name)
    for _ in range(ROUNDS):
        number = moments.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM])
        group, times = moments.random() < 0.5, moments.choice([1, 1, 2, 3])
        delay = moments.uniform(0.1, seconds)
        assert_ended_well(interrupt(arguments, folder, delay, number=number, group=group, times=times), folder)


@pytest.mark.parametrize("delay", [0.1, 0.4])
@pytest.mark.parametrize("name", ["convert", "check"])
def test_a_signal_while_modules_are_imported(name: str, delay: float, folder: Path) -> None:
    actual = interrupt(COMMANDS[name][0], folder, delay, group=delay < 0.3, times=2)
    assert_ended_well(actual, folder)
    assert actual.code == 130


def outcome(body: str, number: int = signal.SIGINT, wait: float = 0.0) -> tuple[int, str]:
    """Exit code and standard error of a program that installs the handler, says that it is ready, and gets a signal."""
    program = "from danet_cli import interruption\ninterruption.install()\n" + textwrap.dedent(body)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    return process.returncode, error


READY = "print('ready', flush=True)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_every_such_signal_is_one_line(number: signal.Signals) -> None:
    assert outcome(f"import time\n{READY}\ntime.sleep(60)", number) == (130, LINE)


def test_nothing_that_catches_all_exceptions_stops_it() -> None:
    body = f"""
        import time
        {READY}
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
    """
    assert outcome(body) == (130, LINE)


def test_native_code_on_the_main_thread_does_not_stop_it() -> None:
    """Python calls no handler while a regular expression, or a compiler, is at work; here one that lets others run."""
    body = f"""
        import ctypes
        {READY}
        while True:
            ctypes.CDLL(None).pthread_join(ctypes.c_void_p(THREAD), None)
    """
    start = "import ctypes, threading, time\nthread = threading.Thread(target=time.sleep, args=(60,), daemon=True)\n"
    setup = start + "thread.start()\nTHREAD = thread.ident\n"
    begun = time.monotonic()
    assert outcome(setup + textwrap.dedent(body), wait=0.2) == (130, LINE)
    assert time.monotonic() - begun < 30


def test_unfinished_files_are_removed_and_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    body = f"""
        import os, signal, time
        from pathlib import Path
        from danet_common.files.unfinished import abandoned_by
        part = Path({str(tmp_path / "part")!r})
        def remove():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            part.unlink()
        with abandoned_by(remove):
            part.touch()
            {READY}
            time.sleep(60)
    """
    assert outcome(body) == (130, LINE)
    assert not list(tmp_path.iterdir())


def test_what_must_not_be_parted_is_done_first(tmp_path: Path) -> None:
    body = f"""
        import time
        from pathlib import Path
        from danet_common.files.unfinished import uninterrupted
        with uninterrupted():
            {READY}
            time.sleep(1)
            Path({str(tmp_path / "done")!r}).touch()
        time.sleep(60)
    """
    assert outcome(body) == (130, LINE)
    assert (tmp_path / "done").exists()


def test_a_signal_that_a_run_has_heeded_does_not_end_the_process_later() -> None:
    """The run draws its curves and says how to go on with it, which takes longer than the second thread waits."""
    body = f"""
        import sys, time
        from danet_common.training.signals import Interruption
        with Interruption(lambda: None) as interruption:
            {READY}
            while not interruption.asked:
                time.sleep(0.01)
        time.sleep(2 * interruption_of_commands.PATIENCE)
        print("go on with it", file=sys.stderr)
    """
    setup = "from danet_cli import interruption as interruption_of_commands\n"
    assert outcome(setup + textwrap.dedent(body)) == (0, "go on with it\n")


def test_an_ignored_signal_stays_ignored() -> None:
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    program += f"from danet_cli import interruption; interruption.install()\nimport time\n{READY}\ntime.sleep(0.5)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
    assert process.returncode == 0


def test_the_process_ends_without_pythons_finalisation() -> None:
    """Its handlers are gone there; what was registered for the exit runs before."""
    program = (
        "import atexit, sys; from danet_cli import interruption; interruption.install()\n"
        "class Late:\n    def __del__(self): print('too late', flush=True)\n"
        "late = Late(); atexit.register(print, 'registered', flush=True)\n"
        "interruption.leave(3)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "registered\n")


@pytest.fixture
def clean_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of its own: `abandon` would end the session's workers, which stand in the process's list."""
    monkeypatch.setattr(unfinished, "_clean_ups", {})


@pytest.mark.usefixtures("clean_ups")
def test_clean_ups_run_in_reverse_and_outlive_errors() -> None:
    order: list[str] = []

    def fail() -> None:
        order.append("second")
        raise OSError

    with abandoned_by(lambda: order.append("first")), abandoned_by(fail), abandoned_by(lambda: order.append("third")):
        assert abandon() is False
    assert order == ["third", "second", "first"]
    assert abandon() is False
    assert len(order) == 3
    with uninterrupted():
        assert shielded()
    assert not shielded()


@pytest.mark.usefixtures("clean_ups")
def test_a_temporary_folder_is_listed_while_it_is_there() -> None:
    with temporary_folder() as folder:
        (folder / "file").touch()
        abandon()
        assert not folder.exists()
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.usefixtures("clean_ups")
def test_a_child_is_ended_and_says_so() -> None:
    program = (
        "from danet_cli import interruption; import time; interruption.install(); print(flush=True); time.sleep(60)"
    )
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with child([sys.executable, "-c", program], commands=True, **streams) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert abandon() is True
        assert process.stderr is not None
        assert process.stderr.read() == LINE
    assert process.returncode == 130
    assert end_child(process) is False


@pytest.mark.usefixtures("clean_ups")
def test_a_child_that_is_no_command_is_killed() -> None:
    with child([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        assert abandon() is False
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say which signals are blocked")
@pytest.mark.needs("grain")
def test_processes_that_make_batches_never_hear_ctrl_c() -> None:
    """A terminal sends it to them too, perhaps while Python starts in them, where it would print a traceback."""
    dataset = open_dataset("scenes:2", "train")
    config = TINY.replace(num_classes=dataset.num_classes)
    order = Sampler(count=len(dataset), batch_size=2)
    with Loader(dataset, Augmentation(crop=(16, 16)), config, order, workers=1) as loader:
        next(loader)
        (worker,) = multiprocessing.active_children()
        status = Path(f"/proc/{worker.pid}/status").read_text()
    (blocked,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigBlk"))
    assert blocked & 1 << signal.SIGINT - 1
