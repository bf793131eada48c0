"""The checkpoint of a network that a command is to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from danet_cli.console import CommandError, print_note

if TYPE_CHECKING:
    from danet_common import Checkpoint


def read_network(path: Path, weights_key: str | None = None) -> Checkpoint:
    """A checkpoint of any format, with notes on what was defaulted and left out.

    Raises Unable for one whose head is not trained.
    """
    import weights_convert

    lines: list[str] = []
    checkpoint = weights_convert.read(path, report=lines.append, weights_key=weights_key)
    if checkpoint.source.get("backbone_only"):
        raise CommandError(
            f"{path}: a backbone without a head, whose logits would be random; danet train --backbone {path} trains one"
        )
    for line in lines:
        print_note(f"{path}: {line}")
    return checkpoint
