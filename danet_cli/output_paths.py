"""Where a command writes, looked at before the work whose results would otherwise be lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danet_cli.console import CommandError
from danet_cli.own_files import require_own

if TYPE_CHECKING:
    from danet_common.files.atomic import Judge


def real_path(path: Path) -> Path:
    """The path without links; one that leads to itself stays as it is, where `Path.resolve` raises RuntimeError."""
    return Path(os.path.realpath(path))


def require_folder(out: Path) -> None:
    """Raise Unable where `out` is no folder that can be written in, nor one that can be made."""
    place = out.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise CommandError(f"--out {out}: {place} is a file, not a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise CommandError(f"--out {out}: {place} may not be written in")


def refuse_unwritable(path: Path, judge: Judge) -> None:
    """Raise Unable where a report could not be written, and where a file is there that `judge` does not let go."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise CommandError(f"{path}: the report needs a file's name in a directory that is there")
    if path.exists() and not path.is_file():
        raise CommandError(f"{path}: no regular file; - is standard output")
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise CommandError(f"{path}: {path.absolute().parent} may not be written in")
    require_own(path, judge)


def write_report(path: Path, answer: dict[str, Any], judge: Judge) -> None:
    """Write the JSON report, atomically, in the place of none or of one that `judge` lets go."""
    from danet_common.files.atomic import atomic_file

    with atomic_file(path, judge) as temporary:
        temporary.write_text(json.dumps(answer, indent=2) + "\n")
