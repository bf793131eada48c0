"""danet eval: the scores of a checkpoint on a data set, by a published protocol."""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli import options as opt
from danet_cli.backend import import_backend, inferring
from danet_cli.console import CommandError, ExitCode, print_note, progress
from danet_cli.network import read_network
from danet_cli.out_of_memory import explain_out_of_memory
from danet_cli.output_paths import (
    STDOUT,
    check_report_path,
    own_image,
    own_report,
    put_report,
    require_folder,
    require_own,
)
from danet_cli.settings import label_settings, protocol_changes

if TYPE_CHECKING:
    import numpy as np

    from danet_common import Checkpoint, DANetConfig
    from danet_common.data import Dataset, LabelSettings
    from danet_common.evaluation import Infer, Protocol

REPORT = own_report("eval", ("checkpoint", "protocol", "confusion"))
CONFUSION = "confusion.png"


def evaluate(
    data: Annotated[
        str, typer.Option(metavar="SPEC", help="Data set: cityscapes:PATH, scenes, ...; see docs/data.md.")
    ],
    weights: opt.Weights,
    backend: opt.Backend,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the data set.")] = "val",
    protocol: opt.Protocol = "auto",
    scales: Annotated[
        str | None, typer.Option(metavar="LIST", help="Average over these sizes of the image: 0.5,0.75,1.")
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average over the mirrored image too.")] = False,
    window: opt.Window = None,
    stride: Annotated[
        str | None, typer.Option(metavar="HxW", show_default="2/3 of the window", help="Step between two windows.")
    ] = None,
    long_side: opt.LongSide = None,
    short_side: opt.ShortSide = None,
    weights_key: opt.WeightsKey = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Evaluate only the first N images.")] = None,
    max_pixels: opt.MaxPixels = None,
    report: opt.JsonFile = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for a picture of the confusion matrix.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Set how labels are read: label_map=255:1, reduce_zero_label, ..."
        ),
    ] = None,
) -> int:
    """Evaluate a network: IoU of each class, mean IoU and accuracies, over all pixels that are not void.

    The protocol defines the network's input; --scales, --flip, --window, --stride, --long-side and --short-side
    change it. Labels are read as the run of the weights read them; --set changes that.

    \b
    Examples:
      danet eval --data cityscapes:data --weights danet.safetensors --backend torch --protocol official
      danet eval --data scenes --split test --weights danet.keras --backend tf --flip --scales 0.75,1,1.25
      danet eval --data camvid:CamVid --weights danet.pth --backend jax --window 256x256 --json - --limit 20
    """
    from danet_cli.evaluate.report import note_absent, print_report
    from danet_common.data import open_dataset
    from danet_common.evaluation import get_protocol, require_same_classes
    from danet_common.evaluation.metrics import scores

    changes = protocol_changes(
        scales=scales, flip=flip, window=window, stride=stride, long_side=long_side, short_side=short_side
    )
    chosen = get_protocol(protocol).replace(**changes)
    check_outputs(report, out)
    labels = labels_of(settings or [], data, weights)
    dataset = open_dataset(data, split, labels)
    checkpoint = read_network(weights, weights_key)
    require_same_classes(dataset, checkpoint.config)
    note_different_names(dataset, checkpoint.config)
    dataset.check(limit, print_note)
    model, infer = inferring(import_backend(backend), checkpoint)
    begin = time.perf_counter()
    with explain_out_of_memory("--window HxW takes less"):
        matrix, count = confusion(infer, dataset, chosen, model.config, limit)
    seconds = time.perf_counter() - begin
    require_labels(matrix, dataset, count)
    note_absent(matrix, dataset.names)
    data_facts: dict[str, Any] = {"spec": data, "split": split, "images": count, "fingerprint": dataset.fingerprint()}
    if labels.assignments:
        data_facts["labels"] = labels.assignments
    results = {
        "checkpoint": describe_checkpoint(weights, checkpoint),
        "backend": backend,
        "data": data_facts,
        "protocol": {"name": protocol, **chosen.to_dict()},
        "pixels": int(matrix.sum()),
        "unlabelled_classes": [name for name, row in zip(dataset.names, matrix, strict=True) if not row.any()],
        **scores(matrix).to_dict(dataset.names),
        "confusion": matrix.tolist(),
        "seconds": seconds,
        "images_per_second": count / seconds,
    }
    if out is not None:
        results["picture"] = str(draw(matrix, dataset, count, results["mean_iou"], out))
    put_report(results, report, REPORT)
    if report != STDOUT:
        print_report(results)
    return ExitCode.DONE


def check_outputs(report: str | None, out: Path | None) -> None:
    """Raise, before any work, where a result cannot be written or drawn."""
    check_report_path(report, REPORT)
    if out is not None:
        require_folder(out)
        require_own(out / CONFUSION, own_image("eval"))
        importlib.import_module("matplotlib")


def labels_of(settings: list[str], data: str, weights: Path) -> LabelSettings:
    """Return the label settings of --set, else those of the run that made the weights from this data."""
    from danet_common.data import LabelSettings
    from danet_common.training import RunFolder
    from danet_common.training.plan import placed

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
    infer: Infer, dataset: Dataset, protocol: Protocol, config: DANetConfig, limit: int | None
) -> tuple[np.ndarray, int]:
    """Return the confusion matrix and its number of images, with progress."""
    from danet_common.evaluation import evaluate as compute_confusion
    from danet_common.evaluation.metrics import scores

    count = len(dataset) if limit is None else min(limit, len(dataset))
    with progress(count) as step:
        step(f"{count} images")
        matrix = compute_confusion(
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
    from danet_common.data.dataset import IGNORE
    from danet_common.text import pluralise

    if not matrix.any():
        raise CommandError(
            f"{dataset.title}: no pixel of {pluralise(count, 'image')} has a label; all labels are {IGNORE} (void). "
            "Check the label files, or choose another --split"
        )


def describe_checkpoint(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return path, weights key and SHA-256 of all tensors by name, which is the same in any format."""
    hashes = json.dumps(checkpoint.hashes(), sort_keys=True).encode()
    key = checkpoint.source.get("weights_key")
    return {"path": str(path), "weights_key": key, "sha256": hashlib.sha256(hashes).hexdigest()}


def draw(matrix: np.ndarray, dataset: Dataset, count: int, mean_iou: float, out: Path) -> Path:
    """Write a picture of the confusion matrix, and return its path."""
    from danet_cli.evaluate.confusion import draw_confusion

    out.mkdir(parents=True, exist_ok=True)
    path = out / CONFUSION
    part = "" if count == len(dataset) else f", the first {count} of {len(dataset)} images"
    draw_confusion(matrix, dataset.names, f"{dataset.title}{part}: mean IoU {mean_iou:.2%}", path)
    return path
