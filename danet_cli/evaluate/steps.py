"""The steps of `danet eval`: check its options, compute the confusion matrix, draw it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from danet_cli.console import CommandError, print_note, progress
from danet_cli.output_paths import check_report_path, own_image, own_report, require_folder, require_own
from danet_cli.settings import label_settings
from danet_common import Checkpoint, DANetConfig
from danet_common.data import Dataset, LabelSettings
from danet_common.data.dataset import IGNORE
from danet_common.evaluation import PredictLogits, Protocol, evaluate
from danet_common.evaluation.metrics import scores
from danet_common.extras import require_packages
from danet_common.text import pluralise
from danet_common.training.folder import RunFolder
from danet_common.training.plan import placed

REPORT = own_report("eval", ("checkpoint", "protocol", "confusion"))
CONFUSION = "confusion.png"


def check_outputs(report: str | None, out: Path | None) -> None:
    """Raise, before any work, where a result cannot be written or drawn."""
    require_packages("danet eval", ("grain",) if out is None else ("grain", "matplotlib"))
    check_report_path(report, REPORT)
    if out is not None:
        require_folder(out)
        require_own(out / CONFUSION, own_image("eval"))


def labels_of(settings: list[str], data: str, weights: Path) -> LabelSettings:
    """Return the label settings of --set, else those of the run that made the weights from this data."""
    if settings:
        return LabelSettings(**label_settings(settings))
    folder = RunFolder(weights if weights.is_dir() else weights.parent)
    if not folder.plan.is_file():
        return LabelSettings()
    plan = folder.read_plan()
    if placed(data) not in (plan.data, plan.val):
        return LabelSettings()
    for assignment in plan.labels.assignments:
        print_note(f"{assignment}, as the run {folder.root} has it")
    return plan.labels


def note_different_names(dataset: Dataset, config: DANetConfig) -> None:
    """Note where network and data name a class differently, as the order of their classes may differ."""
    pairs = zip(config.class_names or dataset.names, dataset.names, strict=True)
    for label, (network_name, data_name) in enumerate(pairs):
        if network_name != data_name:
            print_note(f"the network's class {label} is {network_name}, the data's is {data_name}")


def confusion(
    infer: PredictLogits, dataset: Dataset, protocol: Protocol, config: DANetConfig, limit: int | None
) -> tuple[np.ndarray, int]:
    """Return the confusion matrix and its number of images, with progress."""
    count = len(dataset) if limit is None else min(limit, len(dataset))
    with progress(count) as step:
        step(f"{count} images")
        matrix = evaluate(
            infer,
            dataset,
            protocol,
            config,
            limit=limit,
            report=lambda name, so_far: step(f"mIoU {scores(so_far).mean_iou:.2%}  {name}"),
        )
    return matrix, count


def require_labels(matrix: np.ndarray, dataset: Dataset, count: int) -> None:
    """Raise CommandError where no pixel has a label."""
    if not matrix.any():
        images = pluralise(count, "image")
        raise CommandError(f"{dataset.title}: all labels of {images} are {IGNORE} (void); choose another --split")


def describe_checkpoint(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return path, weights key and SHA-256 of all tensors by name, which is the same in any format."""
    hashes = json.dumps(checkpoint.hashes(), sort_keys=True).encode()
    key = checkpoint.source.get("weights_key")
    return {"path": str(path), "weights_key": key, "sha256": hashlib.sha256(hashes).hexdigest()}


def draw(matrix: np.ndarray, dataset: Dataset, count: int, mean_iou: float, out: Path) -> Path:
    """Write a picture of the confusion matrix, and return its path."""
    out.mkdir(parents=True, exist_ok=True)
    from danet_cli.evaluate.confusion import draw_confusion  # imports matplotlib

    path = out / CONFUSION
    part = "" if count == len(dataset) else f", the first {count} of {len(dataset)} images"
    draw_confusion(matrix, dataset.names, f"{dataset.title}{part}: mean IoU {mean_iou:.2%}", path)
    return path
