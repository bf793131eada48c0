"""The `danet` command: exit codes, one line per error, JSON that is only JSON, help that works."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from danet_cli.commands import app
from danet_cli.main import run
from danet_common import VARIANTS, Checkpoint, DANetConfig, read_checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.conftest import NETWORKS, Start
from shared_tests.workers.backends import BACKENDS, Backend, Worker

TINY = VARIANTS["danet_tiny"]
COMMAND = [sys.executable, "-m", "danet_cli.main"]
GROUP: Any = typer.main.get_command(app)
COMMANDS = ("convert", "inspect", "check", "train", "eval", "predict", "cost", "ablate", "demo")
HELP_SECONDS = 0.5

Streams = pytest.CaptureFixture[str]


def examples(name: str) -> list[str]:
    """The command lines that a command's help shows."""
    text = GROUP.commands[name].help
    return [line.strip() for line in text.splitlines() if line.strip().startswith("danet ")]


def write_tiny(path: Path, config: DANetConfig = TINY) -> Path:
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), path)
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A canonical checkpoint of the small network."""
    return write_tiny(tmp_path / "tiny.safetensors")


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A small noisy image."""
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "street.png")
    return tmp_path / "street.png"


@pytest.fixture
def shared_workers(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """`danet check` asks the session's workers; it starts a process for an adapter's file only."""

    def worker(backend: Backend) -> contextlib.AbstractContextManager[Worker]:
        return contextlib.nullcontext(start(backend.name)) if backend.name in BACKENDS else Worker(backend)

    monkeypatch.setattr("shared_tests.parity.check.Worker", worker)


def assert_one_error(streams: Streams, *words: str) -> None:
    """Nothing on standard output, and on standard error one line with these words."""
    out, error = streams.readouterr()
    assert out == ""
    assert error.startswith("danet: ")
    assert len(error.splitlines()) == 1, error
    for word in words:
        assert word in error


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run([*COMMAND, "--help"], check=True, capture_output=True)
        after = os.times()
        spent = [after.children_user - before.children_user, after.children_system - before.children_system]
        seconds.append(sum(spent))
    assert min(seconds) < HELP_SECONDS, seconds  # of the processor: other work on the machine adds to the clock's


def test_help_imports_no_array_and_no_table() -> None:
    script = "import sys, danet_cli.commands; print({'numpy', 'rich.table', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_exit_codes(name: str, capsys: Streams) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert "Exit codes: 0" in text
    assert len(examples(name)) >= 2


@pytest.mark.parametrize("example", [example for name in COMMANDS for example in examples(name)])
def test_examples_parse(example: str) -> None:
    _, name, *arguments = shlex.split(example)
    assert GROUP.commands[name].make_context(name, arguments).params


def test_alone_it_shows_its_help(capsys: Streams) -> None:
    assert run([]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_a_shell_completes_commands_and_backends() -> None:
    for words, expected in (("danet con", {"convert"}), ("danet predict --backend ", {"torch", "tf", "jax"})):
        count = str(len(words.split(" ")) - 1)
        environment = {"_DANET_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
        done = subprocess.run(COMMAND, env={**os.environ, **environment}, capture_output=True, text=True)
        assert (done.returncode, set(done.stdout.split())) == (0, expected), done.stderr


def test_version(capsys: Streams) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("danet ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["inspect"],
        ["inspect", "a", "--unknown"],
        ["check", "a", "--profile", "f16"],
        ["check", "a", "--size", "big"],
        ["convert", "a", "b.pth", "--set", "multi_grid"],
        ["predict", "a.png", "--weights", "b", "--backend", "numpy", "--out", "c"],
    ],
    ids=" ".join,
)
def test_usage_errors_are_one_line(arguments: list[str], capsys: Streams) -> None:
    assert run(arguments) == 2
    assert_one_error(capsys, "--help")


def test_convert(tiny: Path, capsys: Streams) -> None:
    destination = tiny.with_name("tiny.pth")
    assert run(["convert", str(tiny), str(destination)]) == 0
    assert destination.is_file()
    assert str(destination) in capsys.readouterr().out.replace("\n", "")


def test_convert_there_and_back_in_json(tiny: Path, capsys: Streams) -> None:
    there, back = tiny.with_name("tiny.npz"), tiny.with_name("back.safetensors")
    for source, destination in ((tiny, there), (there, back)):
        assert run(["convert", str(source), str(destination), "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["destination"] == str(destination)
        assert DANetConfig.from_dict(report["config"]) == TINY
    assert read_checkpoint(back).hashes() == read_checkpoint(tiny).hashes()


def test_convert_replaces_only_by_force(tiny: Path, capsys: Streams) -> None:
    destination = tiny.with_name("other.safetensors")
    destination.write_text("mine")
    assert run(["convert", str(tiny), str(destination)]) == 2
    assert_one_error(capsys, "other.safetensors", "--force")
    assert destination.read_text() == "mine"
    assert run(["convert", str(tiny), str(destination), "--force"]) == 0
    assert read_checkpoint(destination).config == TINY


@pytest.mark.parametrize("source", ["absent", "folder", "truncated", "image"])
@pytest.mark.parametrize("command", ["convert", "inspect", "check", "predict"])
def test_what_is_no_checkpoint_is_one_line(command: str, source: str, tiny: Path, photograph: Path) -> None:
    path = tiny.parent / source
    if source == "folder":
        path.mkdir()
    elif source == "truncated":
        path.write_bytes(tiny.read_bytes()[:5000])
    elif source == "image":
        path = photograph
    arguments = {
        "convert": [str(path), str(tiny.with_name("new.pth"))],
        "inspect": [str(path)],
        "check": [str(path), "--backends", "torch"],
        "predict": [str(photograph), "--weights", str(path), "--backend", "torch", "--out", str(tiny.parent / "out")],
    }[command]
    before = sorted(tiny.parent.iterdir())
    done = subprocess.run([*COMMAND, command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert path.name in done.stderr
    assert sorted(tiny.parent.iterdir()) == before


def test_faults_of_another_network_are_listed(tmp_path: Path, capsys: Streams) -> None:
    tensors = dict(synthetic_tensors(TINY))
    del tensors["backbone.bn1.weight"]
    tensors["stranger"] = np.zeros(3, np.float32)
    np.savez(tmp_path / "faulty.npz", allow_pickle=False, **tensors)
    assert run(["convert", str(tmp_path / "faulty.npz"), str(tmp_path / "new.pth"), "--from", "canonical"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("danet: ")
    assert "backbone.bn1.weight" in error
    assert "stranger" in error
    assert not (tmp_path / "new.pth").exists()


def test_convert_refuses_a_place_that_is_not_there(tiny: Path, capsys: Streams) -> None:
    assert run(["convert", str(tiny), str(tiny.parent / "absent" / "new.pth")]) == 2
    assert_one_error(capsys, "absent")


def test_inspect(tiny: Path, capsys: Streams) -> None:
    assert run(["inspect", str(tiny), "--tensors"]) == 0
    out = capsys.readouterr().out
    assert "block=basic" in out
    assert "head.position_attention.gamma" in out


def test_inspect_prints_what_a_file_says_as_it_is(tmp_path: Path, capsys: Streams) -> None:
    """Brackets and colons are no markup, and nothing reaches the terminal that could act on it."""
    classes = ("[/x]", "[red]road", ":car:", "\x1b[2J", "\ud800", *(f"class {number}" for number in range(14)))
    path = write_tiny(tmp_path / "[b]danet.safetensors", TINY.replace(class_names=classes))
    assert run(["inspect", str(path)]) == 0
    out = capsys.readouterr().out
    assert "[b]danet.safetensors" in out
    assert "[/x], [red]road, :car:, \\x1b[2J, \\ud800, class 0" in out


def test_inspect_a_backbone(tiny: Path, tmp_path: Path, capsys: Streams) -> None:
    """Nothing is said of the head that it lacks."""
    path = tmp_path / "resnet.pth"
    assert run(["convert", str(tiny), str(path), "--to", "torchvision"]) == 0
    capsys.readouterr()
    assert run(["inspect", str(path)]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("config"))
    assert "layers=1,1,1,2" in line
    assert "num_classes" not in line


def test_inspect_in_json(tiny: Path, capsys: Streams) -> None:
    assert run(["inspect", str(tiny), "--json"]) == 0
    actual = json.loads(capsys.readouterr().out)
    expected = read_checkpoint(tiny).hashes()
    assert {tensor["name"]: tensor["sha256"] for tensor in actual["tensors"]} == expected


@pytest.mark.parametrize("backend", NETWORKS)
def test_predict(backend: str, tiny: Path, photograph: Path, start: Start, tmp_path: Path) -> None:
    start(backend)
    out, broken = tmp_path / "out", tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    arguments = ["predict", str(broken), str(photograph), "--weights", str(tiny), "--backend", backend]
    done = subprocess.run(
        [*COMMAND, *arguments, "--out", str(out), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "danet: " in done.stderr
    assert "broken.jpg" in done.stderr
    report = json.loads(done.stdout)
    assert report["failed"] == 1
    assert sum(report["images"][1]["classes"].values()) == 33 * 47
    with Image.open(out / "street_mask.png") as mask, Image.open(out / "street_overlay.png") as overlay:
        assert (mask.mode, mask.size) == ("P", (47, 33))
        assert (overlay.mode, overlay.size) == ("RGB", (47, 33))
    assert sorted(path.name for path in out.iterdir()) == ["street_mask.png", "street_overlay.png"]


def test_predict_refuses_one_name_for_two_masks(tiny: Path, capsys: Streams) -> None:
    arguments = ["predict", "a/1.png", "b/1.png", "--weights", str(tiny), "--backend", "torch", "--out", "out"]
    assert run(arguments) == 2
    assert_one_error(capsys, "1_mask.png")


@pytest.mark.usefixtures("shared_workers")
def test_check_agrees_in_every_backend(tiny: Path, start: Start, capsys: Streams) -> None:
    for backend in NETWORKS:
        start(backend)  # skips, or fails, where it is missing
    other, report = tiny.with_name("tiny.npz"), tiny.with_name("report.json")
    assert run(["convert", str(tiny), str(other)]) == 0
    assert run(["check", str(tiny), str(other), "--size", "17x23", "--json", str(report)]) == 0
    assert "FAIL" not in capsys.readouterr().out
    actual = json.loads(report.read_text())
    assert actual["agrees"]
    assert actual["checkpoints"][1]["same_as"] == str(tiny)
    assert set(actual["checkpoints"][0]["backends"]) == set(NETWORKS)


@pytest.mark.usefixtures("shared_workers")
@pytest.mark.parametrize("profile", ["f64", "f32"])
def test_check_tells_another_network(profile: str, tiny: Path, start: Start, capsys: Streams) -> None:
    start("torch")
    other = write_tiny(tiny.with_name("epsilon.safetensors"), TINY.replace(batch_norm_epsilon=1e-3))
    arguments = ["check", str(tiny), str(other), "--backends", "torch", "--size", "17x23", "--profile", profile]
    assert run([*arguments, "--json", "-"]) == 1
    first, second = json.loads(capsys.readouterr().out)["checkpoints"]
    assert first["agrees"]
    assert second["backends"]["torch"]["agrees"]
    assert not second["as_first"]["agrees"]
    assert second["as_first"]["first_mismatch"] == "stem"
    assert second["changed"] == ["config batch_norm_epsilon"]


@pytest.mark.usefixtures("shared_workers")
@pytest.mark.parametrize("profile", ["f64", "f32"])
def test_check_catches_a_wrong_network(profile: str, tiny: Path, start: Start, capsys: Streams) -> None:
    start("torch")
    adapter = tiny.with_name("outside.py")
    adapter.write_text(
        "from shared_tests.workers.adapters import torch\n"
        "from shared_tests.workers.protocol import Response, Request\n\n"
        "def run(request: Request) -> Response:\n"
        "    response = torch.run(request)\n"
        "    response.taps['channel_in'] = response.taps['channel_in'] * (1 + 2**-11)\n"
        "    return response\n"
    )
    arguments = ["check", str(tiny), "--backends", f"torch,{adapter}", "--size", "17x23", "--profile", profile]
    assert run(arguments) == 1
    out = capsys.readouterr().out
    assert "PASS torch" in out
    assert "FAIL outside" in out
    assert "mismatch at channel_in" in out


@pytest.mark.usefixtures("shared_workers")
def test_check_on_a_photograph(tiny: Path, photograph: Path, start: Start, capsys: Streams) -> None:
    start("torch")
    arguments = ["check", str(tiny), "--backends", "torch", "--image", str(photograph), "--profile", "f32"]
    assert run([*arguments, "--json", "-"]) == 0
    actual = json.loads(capsys.readouterr().out)
    assert actual["input"] == {"kind": "image", "path": str(photograph), "height": 33, "width": 47}


def test_check_says_what_it_could_not_run(tiny: Path, capsys: Streams) -> None:
    assert run(["check", str(tiny), "--backends", "torch,numpy"]) == 2
    assert_one_error(capsys, "unknown backend 'numpy'")
    assert run(["check", str(tiny), "--backends", "absent.py"]) == 2
    assert_one_error(capsys, "absent.py")
    assert run(["check", str(tiny), "--json", str(tiny.parent / "absent" / "report.json")]) == 2
    assert_one_error(capsys, "report.json")


def test_check_says_why_a_backend_failed(tiny: Path, capsys: Streams) -> None:
    adapter = tiny.with_name("broken.py")
    adapter.write_text("def run(request):\n    raise ArithmeticError('no numbers today')\n")
    assert run(["check", str(tiny), "--backends", str(adapter), "--size", "17x23"]) == 2
    assert_one_error(capsys, "broken", "no numbers today")


def test_closed_pipe_is_no_traceback(tiny: Path) -> None:
    command = [*COMMAND, "inspect", str(tiny), "--tensors"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0  # of what was done


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("command", ["predict", "eval", "check"])
@pytest.mark.needs("grain")
def test_a_backbone_alone_is_not_run(command: str, ending: str, tiny: Path, photograph: Path, capsys: Streams) -> None:
    """The upstream file, and a canonical file with the head that was drawn for it."""
    path = tiny.with_name("resnet.pth")
    assert run(["convert", str(tiny), str(path), "--to", "torchvision"]) == 0
    if ending != ".pth":
        assert run(["convert", str(path), str(path.with_suffix(ending))]) == 0
    path = path.with_suffix(ending)
    arguments = {
        "predict": [str(photograph), "--weights", str(path), "--backend", "torch", "--out", str(tiny.parent / "out")],
        "eval": ["--data", "scenes:2", "--weights", str(path), "--backend", "torch"],
        "check": [str(path), "--backends", "torch"],
    }[command]
    capsys.readouterr()
    assert run([command, *arguments]) == 2
    assert_one_error(capsys, path.name, "a backbone without a head")
    assert not (tiny.parent / "out").exists()


def test_interruption_is_one_line(tiny: Path) -> None:
    adapter = tiny.with_name("slow.py")
    adapter.write_text(
        "import pathlib, time\n\n"
        "def run(request):\n"
        f"    pathlib.Path({str(tiny.with_name('begun'))!r}).touch()\n"
        "    time.sleep(3)\n"
    )
    command = [*COMMAND, "check", str(tiny), "--backends", str(adapter), "--size", "17x23"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite run in the background ignores it
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    while not tiny.with_name("begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert error == "danet: interrupted\n"
