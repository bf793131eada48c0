"""Which files a command may replace without being told to: those whose content says that it wrote them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from danet_cli.console import CommandError

if TYPE_CHECKING:
    from danet_common.files.atomic import Judge


def software(command: str) -> str:
    """PNG's Software text in the pictures of a command."""
    return f"danet {command}"


def own_picture(command: str) -> Judge:
    """Return what raises Unable for all but a command's own pictures."""

    def judge(path: Path) -> None:
        from danet_common.data.image import software_of

        _require(software_of(path) == software(command), path, command)

    return judge


def own_report(command: str, fields: Collection[str]) -> Judge:
    """Return what raises Unable for all but an empty file and JSON objects with these fields."""

    def judge(path: Path) -> None:
        text = _read(path)
        try:
            content = json.loads(text) if text is not None else None
        except ValueError:
            content = None
        own = isinstance(content, dict) and content.keys() >= set(fields)
        _require(own or text == b"", path, command)

    return judge


def own_text(command: str, mark: str) -> Judge:
    """Return what raises Unable for all but texts in which a command's mark stands."""

    def judge(path: Path) -> None:
        _require(mark.encode() in (_read(path) or b""), path, command)

    return judge


def require_own(path: Path, judge: Judge) -> None:
    """Ask about a file that is there, before the work whose results would otherwise be lost."""
    if os.path.lexists(path):
        judge(path)


def _read(path: Path) -> bytes | None:
    from danet_common.files.regular_file import REPORT, read_regular

    try:
        return read_regular(path, REPORT)
    except OSError:
        return None


def _require(own: bool, path: Path, command: str) -> None:
    if not own:
        raise CommandError(
            f"{path} exists, and {software(command)} did not write it; give another name, or move it away"
        )
