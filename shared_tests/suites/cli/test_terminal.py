"""Text of names and files reaches the terminal as text: no escape sequence, no line break, no markup."""

from __future__ import annotations

import ast
import io
import warnings
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from danet_cli import streams
from danet_cli.console import (
    console,
    describe_error,
    print_error,
    print_facts,
    print_json,
    print_line,
    print_note,
    progress,
)
from danet_cli.main import run
from danet_common import VARIANTS, Checkpoint, CheckpointError, write_checkpoint
from danet_common.data.dataset import DataError
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.suites.structure.test_structure import ROOT, sources

PACKAGES = ("danet_cli", "danet_common", "weights_convert", "danet_torch", "danet_tf", "danet_jax")
OUTLETS = ("console.py", "safe_console.py", "streams.py")  # of danet_cli, the only ones that print
WRITERS = {"print", "Console"}  # called by name
METHODS = {"stdout.write", "stderr.write", "typer.echo", "typer.secho", "warnings.warn", "sys.displayhook"}

LIBRARY_WARNINGS = ["warnings.warn"] * 2  # about a file and a wrapped network, in Python; the commands give a `report`

# A window's title, a cleared screen, C1's CSI, a return, DEL, a bidi override, a line, a lone surrogate, and markup.
EVIL = "a\x1b]0;title\x07\x1b[2J\x9b2J\r\x7f\u202edanet: done\n\udc80[/x][red]"
SHOWN = r"a\x1b]0;title\x07\x1b[2J\x9b2J\r\x7f\u202edanet: done\n\udc80[/x][red]"

Streams = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    """Standard error that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def calls(path: Path) -> list[str]:
    """The calls of a file that write to a stream, by name."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in WRITERS or any(name.endswith(method) for method in METHODS):
                names.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    return names


def test_only_the_console_prints() -> None:
    places = [path for path in sources(*PACKAGES) if path.parent.name != "danet_cli" or path.name not in OUTLETS]
    assert [call.split(" ")[1] for path in places for call in calls(path)] == LIBRARY_WARNINGS
    assert [call for name in OUTLETS for call in calls(ROOT / "danet_cli" / name)]  # the test finds such calls


def test_lines_are_one_line_each(capsys: Streams) -> None:
    print_error(EVIL)
    print_note(EVIL)
    print_line(EVIL)
    print_line(EVIL, style="bold")
    out, error = capsys.readouterr()
    assert error.splitlines() == [f"danet: {SHOWN}", SHOWN]
    assert out.splitlines() == [SHOWN, SHOWN]


def test_tables_are_clean(capsys: Streams) -> None:
    print_facts(EVIL, {EVIL: EVIL})
    table = Table(EVIL, title=Text(EVIL))
    table.add_row(Text(EVIL))
    console().print(table)
    console().print(EVIL, Text(EVIL))
    out, _ = capsys.readouterr()
    assert out.replace("\n", "").isprintable()
    assert SHOWN in out
    assert not [line for line in out.splitlines() if line.startswith("title")]


def test_json_is_ascii_without_control_characters(capsys: Streams) -> None:
    print_json({EVIL: EVIL})
    out, _ = capsys.readouterr()
    assert out.isascii()
    assert out.replace("\n", "").isprintable()


def test_the_progress_of_a_terminal_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    with progress(2) as step:
        step("x" * 1_000_000)
        step(EVIL)
    shown = terminal.getvalue()
    assert r"a\x1b]0;title" in shown
    assert not [letter for letter in "\x07\x9b\x7f\u202e\udc80" if letter in shown]
    assert "\x1b]" not in shown
    assert len(shown) < 100_000


def test_faults_keep_their_lines_and_get_no_others() -> None:
    listed = describe_error(DataError(f"{EVIL}: no image", "b: no label"))
    assert listed.splitlines() == [f"{SHOWN}: no image", "1 further error:", "  b: no label"]
    assert describe_error(CheckpointError("two errors:\n  one\n  two")) == "two errors:\n  one\n  two"
    assert describe_error(FileNotFoundError(2, "No such file", EVIL)) == f"{SHOWN}: No such file"
    assert describe_error(RuntimeError("first\ndanet: done")) == r"first\ndanet: done"


def test_what_libraries_write_to_stderr_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    beneath = io.StringIO()
    monkeypatch.setattr("sys.stderr", streams.EscapedStream(beneath))
    streams.show_warning(UserWarning(EVIL), UserWarning, "file.py", 1)
    print(EVIL, file=streams.EscapedStream(beneath))
    first, *others = beneath.getvalue().splitlines()
    assert first == f"UserWarning: {SHOWN}"
    assert "".join(others).isprintable()


@pytest.mark.parametrize(
    "arguments",
    [
        [EVIL],
        ["inspect", EVIL],
        ["inspect", "a", EVIL],
        ["convert", EVIL, "b.pth"],
        ["convert", "a.pth", "b.pth", "--set", EVIL],
        ["check", EVIL],
        ["check", "a", "--backends", EVIL],
        ["check", "a", "--size", EVIL],
        ["eval", "--data", EVIL, "--weights", "a", "--backend", "torch"],
        ["predict", EVIL, "--weights", EVIL, "--backend", "torch", "--out", "b"],
        ["train", "--resume", EVIL],
        ["train", "--data", EVIL, "--backend", "torch", "--out", EVIL],
        ["cost", "--variant", EVIL],
        ["cost", "--context", EVIL],
        ["ablate", "--out", "a", "--network", EVIL],
    ],
    ids=lambda arguments: " ".join(arguments).replace(EVIL, "EVIL"),
)
def test_errors_are_one_clean_line(arguments: list[str], tmp_path: Path, capsys: Streams) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("danet: ")
    assert error.replace("\n", "").isprintable(), ascii(error)
    assert not [line for line in error.splitlines()[1:] if not line.startswith("  ")], error


def test_a_checkpoint_of_such_a_name_is_inspected(tmp_path: Path, capsys: Streams) -> None:
    config = VARIANTS["danet_tiny"]
    path = tmp_path / (EVIL.replace("/", "") + ".safetensors")
    write_checkpoint(Checkpoint(config, synthetic_tensors(config)), path)
    assert run(["inspect", str(path), "--tensors"]) == 0
    out, error = capsys.readouterr()
    assert (out + error).replace("\n", "").isprintable()
    assert "danet: done" not in [line[:11] for line in out.splitlines()]


def test_pictures_with_damaged_facts_give_no_warning_of_python() -> None:
    with warnings.catch_warnings():
        streams.ignore_pillow_warnings()
        warnings.warn_explicit("Corrupt EXIF data", UserWarning, "file.py", 1, module="PIL.TiffImagePlugin")
