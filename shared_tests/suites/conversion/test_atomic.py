"""Atomic writing: its errors name what was to be written, and nothing is left beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from danet_common.files.atomic import atomic_directory, atomic_file


@pytest.mark.parametrize("write", [atomic_file, atomic_directory])
def test_errors_name_the_target(write: Callable[[Path], Any], tmp_path: Path) -> None:
    target = tmp_path / "absent" / "mask.png"
    with pytest.raises(FileNotFoundError) as caught, write(target):
        pass
    assert caught.value.filename == str(target)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    target = tmp_path / "mask.png"
    target.mkdir()
    with pytest.raises(IsADirectoryError) as caught, atomic_file(target) as temporary:
        temporary.write_text("new")
    assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_in_the_place_of_a_folder_is_left(tmp_path: Path) -> None:
    target = tmp_path / "run"
    target.write_text("mine")
    with pytest.raises(NotADirectoryError) as caught, atomic_directory(target) as temporary:
        temporary.mkdir()
    assert caught.value.filename == str(target)
    assert target.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [target]


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    file, folder = tmp_path / ("f" * 255), tmp_path / ("é" * 127)
    with atomic_file(file) as temporary:
        temporary.write_text("new")
    with atomic_directory(folder) as temporary:
        temporary.mkdir()
    assert sorted(tmp_path.iterdir()) == [file, folder]


# root becomes another user, who may not write a read-only file.
REPLACE = """
import os, tempfile
from pathlib import Path
from danet_common.files.atomic import atomic_file

if os.geteuid() == 0:
    os.seteuid(65534)
with tempfile.TemporaryDirectory() as folder:
    target = Path(folder, "weights")
    target.write_text("old")
    target.chmod(0o444)
    with atomic_file(target) as temporary:
        temporary.write_text("new")
    print(target.read_text(), oct(target.stat().st_mode & 0o777))
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_file_that_is_only_read_is_replaced_and_stays_so() -> None:
    done = subprocess.run([sys.executable, "-c", REPLACE], capture_output=True, text=True)
    assert done.stdout.split() == ["new", "0o444"], done.stderr
