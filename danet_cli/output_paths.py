"""Check the places that a command writes to before it starts, and replace only files that the command wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from danet_cli.console import CommandError, print_json
from danet_common.data.image import software_of
from danet_common.files.atomic import Judge, atomic_file
from danet_common.files.regular_file import REPORT, read_regular

STDOUT = "-"


def real_path(path: Path) -> Path:
    """Return the path without links. A link to itself stays, where `Path.resolve` raises RuntimeError."""
    return Path(os.path.realpath(path))


def require_folder(out: Path) -> None:
    """Raise CommandError unless `out` is a writable folder, or can be made."""
    place = out.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise CommandError(f"--out {out}: {place} is a file, not a folder")
    _require_writable(place, f"--out {out}")


def check_report_path(path: str | None, replace: Judge) -> None:
    """Raise CommandError where the report cannot be written, or would replace another file."""
    if path is None or path == STDOUT:
        return
    file = Path(path)
    folder = file.absolute().parent
    if file.is_dir() or not folder.is_dir():
        raise CommandError(f"{file}: the report needs a file name in an existing folder")
    if file.exists() and not file.is_file():
        raise CommandError(f"{file}: not a regular file; - is standard output")
    _require_writable(folder, str(file))
    require_own(file, replace)


def put_report(report: dict[str, Any], path: str | None, replace: Judge) -> None:
    """Print the JSON report or write it to a file, atomically; do nothing without a path."""
    if path == STDOUT:
        print_json(report)
    elif path is not None:
        write_report(Path(path), report, replace)


def write_report(path: Path, report: dict[str, Any], replace: Judge) -> None:
    """Write a JSON report atomically. `replace` raises for a file that must stay."""
    with atomic_file(path, replace) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")


def require_own(path: Path, replace: Judge) -> None:
    """Raise what `replace` raises for an existing file."""
    if os.path.lexists(path):
        replace(path)


def software(command: str) -> str:
    """Return the Software text of a command's PNG files."""
    return f"danet {command}"


def own_image(command: str) -> Judge:
    """Return a function that raises CommandError unless a file is one of the command's PNG files."""

    def is_own(path: Path) -> bool:
        return software_of(path) == software(command)

    return _own_file(command, is_own)


def own_report(command: str, fields: Collection[str]) -> Judge:
    """Return a function that raises CommandError unless a file is empty or a JSON object with these fields."""

    def is_own(path: Path) -> bool:
        data = _read(path)
        try:
            content = json.loads(data or b"")
        except ValueError:
            return data == b""
        return isinstance(content, dict) and content.keys() >= set(fields)

    return _own_file(command, is_own)


def own_text(command: str, mark: str) -> Judge:
    """Return a function that raises CommandError unless a file contains the command's mark."""
    return _own_file(command, lambda path: mark.encode() in (_read(path) or b""))


def _own_file(command: str, is_own: Callable[[Path], bool]) -> Judge:
    def replace(path: Path) -> None:
        if not is_own(path):
            raise CommandError(f"{path} exists, and danet {command} did not write it; choose another name")

    return replace


def _require_writable(folder: Path, name: str) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandError(f"{name}: {folder}: permission denied")


def _read(path: Path) -> bytes | None:
    try:
        return read_regular(path, REPORT)
    except OSError:
        return None
