"""The metrics file: one JSON line for each logged step and each validation, in their order.

    {"step": 10, "losses": {"loss": 3.1, "fused": 1.0, ...}, "learning_rate": 0.01, "images_per_second": 9.7,
     "backend": "torch"}
    {"step": 10, "mean_iou": 0.31, "pixel_accuracy": 0.74, "iou": {"sky": 0.9, ...}, "backend": "torch"}

Losses are means over the steps since the line before, mean IoU and pixel accuracy are shares of 1; a class that is in
neither labels nor prediction has the IoU null.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from danet_common.atomic import atomic_file
from danet_common.regular_file import METRICS, read_text
from danet_common.strict_json import parse_json


class MetricsFile:
    """Appends to the lines that a checkpoint knows: those of later steps and validations are taken out first."""

    def __init__(self, path: Path, step: int, validated: int) -> None:
        known = [r for r in read_metrics(path) if r["step"] <= (validated if "mean_iou" in r else step)]
        kept = [json.dumps(record) + "\n" for record in known]
        if read_text(path, METRICS) != "".join(kept):
            with atomic_file(path) as temporary:
                temporary.write_text("".join(kept))
        self.file = path.open("a")

    def write(self, record: Mapping[str, Any]) -> None:
        """Add one line."""
        self.file.write(json.dumps(record, allow_nan=False) + "\n")
        self.file.flush()

    def sync(self) -> None:
        """Return when the lines are on the disk: a checkpoint must not be ahead of them."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a killed process may have left a part of the last one. Raises ValueError, naming the file."""
    try:
        records = [
            parse_json(line) for line in read_text(path, METRICS).splitlines(keepends=True) if line.endswith("\n")
        ]
    except ValueError as error:
        raise ValueError(f"{path}: no metrics file: {error}") from None
    if not all(isinstance(record, dict) and isinstance(record.get("step"), int) for record in records):
        raise ValueError(f"{path}: no metrics file: a line of it has no step")
    return records
