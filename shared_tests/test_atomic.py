"""Atomic writing: its errors name what was to be written, and nothing is left beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from danet_common.atomic import atomic_directory, atomic_file


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
