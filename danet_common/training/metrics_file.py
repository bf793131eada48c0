"""The metrics file: a JSON line for each logged step and each validation, in their order.

    {"step": 10, "losses": {"loss": 3.1, "fused": 1.0, ...}, "learning_rate": 0.01, "images_per_second": 9.7,
     "backend": "torch"}
    {"step": 10, "mean_iou": 0.31, "pixel_accuracy": 0.74, "iou": {"sky": 0.9, ...}, "backend": "torch"}

Losses are means over the steps since the line before. Mean IoU and pixel accuracy are from 0 to 1. A class that is in
neither labels nor prediction has the IoU null.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from danet_common.config.typed_json import from_json, require
from danet_common.files.atomic import atomic_file
from danet_common.files.regular_file import METRICS, read_regular
from danet_common.files.strict_json import parse_json
from danet_common.training.plan import RunPlan

VALIDATION = {"mean_iou", "pixel_accuracy", "iou"}  # fields of a validation's line alone
BackendName = Literal["torch", "tf", "jax"]


@dataclass(frozen=True, kw_only=True)
class TrainingLine:
    """A line of logged steps."""

    step: int
    losses: dict[str, float]
    learning_rate: float
    images_per_second: float
    backend: BackendName

    def __post_init__(self) -> None:
        require(self.images_per_second > 0, "images_per_second", "positive", self.images_per_second)


@dataclass(frozen=True, kw_only=True)
class ValidationLine:
    """A line of a validation."""

    step: int
    mean_iou: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    backend: BackendName


class MetricsFile:
    """Appends lines, after removing those of steps and validations later than the checkpoint's. Raises ValueError."""

    def __init__(self, path: Path, plan: RunPlan, step: int, validated: int) -> None:
        path.touch()
        records = read_metrics(path)
        known = [r for r in records if r["step"] <= (validated if "mean_iou" in r else step)]
        outputs = {"loss", *plan.config.outputs}
        if any(record["losses"].keys() != outputs for record in known if "losses" in record):
            raise ValueError(f"{path}: of another run: losses must be of {', '.join(sorted(outputs))}")
        kept = [json.dumps(record) + "\n" for record in known]
        if read_regular(path, METRICS) != "".join(kept).encode():
            with atomic_file(path) as temporary:
                temporary.write_text("".join(kept))
        self.file = path.open("a")

    def write(self, record: Mapping[str, Any]) -> None:
        """Add one line."""
        self.file.write(json.dumps(record, allow_nan=False) + "\n")
        self.file.flush()

    def sync(self) -> None:
        """Write the lines to the disk: a checkpoint must not be ahead of them."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return all complete lines; a killed process may have left a part of the last line. None without a file.

    Raises ValueError, naming the file, the line and the field.
    """
    records: list[dict[str, Any]] = []
    if not os.path.lexists(path):  # before the first step
        return records
    *lines, _ = read_regular(path, METRICS).split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            record = parse_json(line)
            validation = isinstance(record, dict) and not VALIDATION.isdisjoint(record)
            from_json(ValidationLine if validation else TrainingLine, record)
        except ValueError as error:
            raise ValueError(f"{path}: no metrics file: line {number}: {error}") from None
        records.append(record)
    return records
