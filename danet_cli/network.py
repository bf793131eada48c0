"""Read the checkpoint of a network that a command runs."""

from __future__ import annotations

from pathlib import Path

import weights_convert
from danet_cli.console import CommandError, print_note
from danet_common import Checkpoint


def read_network(path: Path, weights_key: str | None = None) -> Checkpoint:
    """Return a checkpoint of any format, with notes on defaults and unused tensors.

    Raises CommandError for a backbone, which has no trained head.
    """
    notes: list[str] = []
    checkpoint = weights_convert.read(path, report=notes.append, weights_key=weights_key)
    if checkpoint.source.get("backbone_only"):
        raise CommandError(f"{path}: a backbone without a head; train one with danet train --backbone {path}")
    for note in notes:
        print_note(f"{path}: {note}")
    return checkpoint
