"""Standard output and error that are closed, full or gone: no traceback, and the exit code of what was done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from danet_common import VARIANTS, Checkpoint, write_checkpoint
from shared_tests.fixtures.synthetic import synthetic_tensors

TINY = VARIANTS["danet_tiny"]
FULL = "/dev/full"

needs_full = pytest.mark.skipif(not os.path.exists(FULL), reason="no device that is always full")  # noqa: PTH110


def shell(line: str) -> tuple[int, str, str]:
    """Exit code, standard output and error of a shell's line, in which DANET is the command."""
    danet = f"'{sys.executable}' -m danet_cli"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.replace('DANET', danet)}"], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "tiny.safetensors"
    write_checkpoint(Checkpoint(TINY, synthetic_tensors(TINY)), path)
    return path


def test_a_closed_stdout_changes_nothing(checkpoint: Path) -> None:
    assert shell(f"DANET inspect {checkpoint} >&-") == (0, "", "")


def test_a_file_opened_in_the_place_of_a_closed_stdout_is_not_written_to(checkpoint: Path) -> None:
    before = checkpoint.read_bytes()
    copy = checkpoint.with_name("copy.safetensors")
    assert shell(f"DANET convert {checkpoint} {copy} <&- >&- 2>&-") == (0, "", "")
    assert checkpoint.read_bytes() == before
    assert copy.stat().st_size > 0


def test_a_closed_stderr_changes_nothing(checkpoint: Path) -> None:
    assert shell("DANET inspect absent 2>&-") == (2, "", "")


def test_a_reader_that_leaves_is_no_error(checkpoint: Path) -> None:
    code, out, error = shell(f"DANET inspect {checkpoint} --tensors | head -1")
    assert (code, len(out.splitlines()), error) == (0, 1, "")


@needs_full
def test_a_full_disk_at_stdout_is_said(checkpoint: Path) -> None:
    assert shell(f"DANET inspect {checkpoint} >{FULL}") == (2, "", "danet: standard output: No space left on device\n")


@needs_full
def test_a_full_disk_at_stderr_changes_nothing(checkpoint: Path) -> None:
    assert shell(f"DANET inspect absent 2>{FULL}") == (2, "", "")


def test_letters_that_the_encoding_lacks_are_escaped(checkpoint: Path) -> None:
    code, out, error = shell(f"PYTHONIOENCODING=ascii DANET inspect {checkpoint.with_name('Straße')}")
    assert (code, out) == (2, "")
    assert "Stra\\xdfe" in error
    assert error.startswith("danet: ")
