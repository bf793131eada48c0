"""danet eval: the scores of a checkpoint on a data set, by a published protocol."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from danet_cli import options as opt
from danet_cli.backend import import_backend, inferring
from danet_cli.console import ExitCode, print_note


def evaluate(
    data: Annotated[
        str, typer.Option(metavar="SPEC", help="Data set: cityscapes:PATH, scenes, ...; see docs/data.md.")
    ],
    weights: opt.Weights,
    backend: opt.Backend,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the data set.")] = "val",
    protocol: opt.Protocol = "auto",
    scales: Annotated[str | None, typer.Option(metavar="LIST", help="Average over scales: 0.5,0.75,1.")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average over the mirrored image too.")] = False,
    window: opt.Window = None,
    stride: Annotated[str | None, typer.Option(metavar="HxW", help="Step of the window, by default 2/3 of it.")] = None,
    long_side: opt.LongSide = None,
    short_side: opt.ShortSide = None,
    weights_key: opt.WeightsKey = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Evaluate only the first N images.")] = None,
    max_pixels: opt.MaxPixels = None,
    report: opt.JsonFile = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for a picture of the confusion matrix.")
    ] = None,
    settings: opt.Settings = None,
) -> int:
    """Evaluate a network: IoU of each class, mean IoU and accuracies, over all pixels that are not void.

    The protocol defines the network's input; --scales, --flip, --window, --stride, --long-side and --short-side
    change it. Labels are read as the run of the weights read them; --set changes that: label_map=255:1,
    reduce_zero_label=true, palette_labels, label_orientation.

    \b
    Examples:
      danet eval --data cityscapes:data --weights danet.safetensors --backend torch --protocol official
      danet eval --data scenes --split test --weights danet.keras --backend tf --flip --scales 0.75,1,1.25
      danet eval --data camvid:CamVid --weights danet.pth --backend jax --window 256x256 --json - --limit 20
    """
    from danet_cli.evaluate import steps
    from danet_cli.evaluate.report import note_absent, print_report
    from danet_cli.network import read_network
    from danet_cli.out_of_memory import explain_out_of_memory
    from danet_cli.output_paths import STDOUT, put_report
    from danet_cli.settings import protocol_changes
    from danet_common.data import open_dataset
    from danet_common.evaluation import get_protocol, require_same_classes
    from danet_common.evaluation.metrics import scores

    changes = protocol_changes(
        scales=scales, flip=flip, window=window, stride=stride, long_side=long_side, short_side=short_side
    )
    chosen = get_protocol(protocol).replace(**changes)
    steps.check_outputs(report, out)
    labels = steps.labels_of(settings or [], data, weights)
    dataset = open_dataset(data, split, labels)
    checkpoint = read_network(weights, weights_key)
    require_same_classes(dataset, checkpoint.config)
    steps.note_different_names(dataset, checkpoint.config)
    dataset.check(limit, print_note)
    model, infer = inferring(import_backend(backend), checkpoint)
    begin = time.perf_counter()
    with explain_out_of_memory("--window HxW takes less"):
        matrix, count = steps.confusion(infer, dataset, chosen, model.config, limit)
    seconds = time.perf_counter() - begin
    steps.require_labels(matrix, dataset, count)
    note_absent(matrix, dataset.names)
    data_facts: dict[str, Any] = {"spec": data, "split": split, "images": count, "fingerprint": dataset.fingerprint()}
    if labels.assignments:
        data_facts["labels"] = labels.assignments
    results = {
        "checkpoint": steps.describe_checkpoint(weights, checkpoint),
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
        results["picture"] = str(steps.draw(matrix, dataset, count, results["mean_iou"], out))
    put_report(results, report, steps.REPORT)
    if report != STDOUT:
        print_report(results)
    return ExitCode.DONE
