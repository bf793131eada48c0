"""danet eval: a checkpoint's figures on a data set, by the procedure of a publication."""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from danet_cli.backend import BackendName, import_backend, inferring
from danet_cli.console import CommandError, ExitCode, print_json, print_note, progress
from danet_cli.network import read_network
from danet_cli.out_of_memory import saying_shortage
from danet_cli.output_paths import refuse_unwritable, require_folder, write_report
from danet_cli.own_files import own_picture, own_report, require_own
from danet_cli.pixel_limit import MaxPixels, limit_pixels
from danet_cli.protocol_options import LongSide, ShortSide
from danet_cli.settings import label_settings, protocol_changes
from danet_cli.weights_option import WeightsKey

if TYPE_CHECKING:
    import numpy as np

    from danet_common import Checkpoint, DANetConfig
    from danet_common.data import Dataset, LabelSettings
    from danet_common.evaluation import Infer, Protocol

REPORT = own_report("eval", ("checkpoint", "protocol", "confusion"))
CONFUSION = "confusion.png"


def evaluate(
    data: Annotated[str, typer.Option(metavar="SPEC", help="cityscapes:PATH, scenes, ...: see docs/data.md.")],
    weights: Annotated[Path, typer.Option(metavar="CKPT", help="A checkpoint of any format.")],
    backend: Annotated[BackendName, typer.Option(help="Which of the three networks computes.")],
    split: Annotated[str, typer.Option(metavar="NAME", help="Of the data set.")] = "val",
    protocol: Annotated[
        str,
        typer.Option(metavar="NAME", help="auto, whole, official, mmseg, paddleseg, ...: docs/evaluation.md has them."),
    ] = "auto",
    scales: Annotated[
        str | None, typer.Option(metavar="LIST", help="Sizes of the picture to average over: 0.5,0.75,1.")
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average over the mirrored picture too.")] = False,
    window: Annotated[str | None, typer.Option(metavar="HxW", help="Slide a window of this size.")] = None,
    stride: Annotated[
        str | None, typer.Option(metavar="HxW", help="From one window to the next; two thirds if not given.")
    ] = None,
    long_side: LongSide = None,
    short_side: ShortSide = None,
    weights_key: WeightsKey = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N pictures.")] = None,
    max_pixels: MaxPixels = None,
    report: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write a JSON report; - is standard output.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to draw the confusion matrix.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="How labels are read: label_map=255:1, reduce_zero_label, ..."
        ),
    ] = None,
) -> int:
    """Evaluate a network: IoU of each class, mean IoU, accuracies, over all pixels that are not void.

    The protocol says what the network sees of a picture; --scales, --flip, --window, --stride,
    --long-side and --short-side change it.
    The weights of a run are judged by labels as the run read them; --set reads them otherwise.

    \b
    Examples:
      danet eval --data cityscapes:data --weights danet.safetensors --backend torch --protocol official
      danet eval --data scenes --split test --weights danet.keras --backend tf --flip --scales 0.75,1,1.25
      danet eval --data camvid:CamVid --weights danet.pth --backend jax --window 256x256 --json - --limit 20
    """
    import numpy as np

    from danet_common.data import open_dataset
    from danet_common.data.dataset import IGNORE
    from danet_common.evaluation import get_protocol, require_same_classes
    from danet_common.evaluation.metrics import scores
    from danet_common.text import pluralise

    changes = protocol_changes(
        scales=scales, flip=flip, window=window, stride=stride, long_side=long_side, short_side=short_side
    )
    chosen = get_protocol(protocol).replace(**changes)
    limit_pixels(max_pixels)
    if report not in (None, "-"):
        refuse_unwritable(Path(report), REPORT)
    if out is not None:
        require_folder(out)
        require_own(out / CONFUSION, own_picture("eval"))
        importlib.import_module("matplotlib")  # what is missing is said before the work, not after it
    labels = labels_of(settings or [], data, weights)
    dataset = open_dataset(data, split, labels)
    checkpoint = read_network(weights, weights_key)
    require_same_classes(dataset, checkpoint.config)
    note_other_names(dataset, checkpoint.config)
    dataset.check(limit, print_note)
    model, infer = inferring(import_backend(backend), checkpoint)
    begun = time.perf_counter()
    with saying_shortage("--window HxW takes less"):
        matrix, count = confusion(infer, dataset, chosen, model.config, limit)
    seconds = time.perf_counter() - begun
    if not matrix.any():
        raise CommandError(
            f"{dataset.title}: no pixel of {pluralise(count, 'picture')} has a label, so there is nothing to judge; "
            f"all labels are {IGNORE} (void). Look at the label files, or choose another --split"
        )
    found = scores(matrix)
    note_absent(matrix, dataset)
    answer = {
        "checkpoint": {
            "path": str(weights),
            "weights_key": checkpoint.source.get("weights_key"),
            "sha256": fingerprint(checkpoint),
        },
        "backend": backend,
        "data": {"spec": data, "split": split, "images": count, "fingerprint": dataset.fingerprint()}
        | ({"labels": labels.assignments} if labels.assignments else {}),
        "protocol": {"name": protocol, **chosen.to_dict()},
        "pixels": int(matrix.sum()),
        "unlabelled_classes": [dataset.names[label] for label in np.flatnonzero(matrix.sum(axis=1) == 0)],
        **found.to_dict(dataset.names),
        "confusion": matrix.tolist(),
        "seconds": seconds,
        "images_per_second": count / seconds,
    }
    if out is not None:
        answer["picture"] = str(draw(matrix, dataset, count, found.mean_iou, out))
    if report == "-":
        print_json(answer)
        return ExitCode.DONE
    if report is not None:
        write_report(Path(report), answer, REPORT)
    print_figures(answer)
    return ExitCode.DONE


def labels_of(settings: list[str], data: str, weights: Path) -> LabelSettings:
    """How label files are read: as --set says, else as the run did whose weights and data these are."""
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


def fingerprint(checkpoint: Checkpoint) -> str:
    """Of all tensors by name: the same in any format."""
    return hashlib.sha256(json.dumps(checkpoint.hashes(), sort_keys=True).encode()).hexdigest()


def note_other_names(dataset: Dataset, config: DANetConfig) -> None:
    """Say where network and data call a class by different names: their order may be another."""
    pairs = zip(config.class_names or dataset.names, dataset.names, strict=True)
    for label, (ours, theirs) in enumerate(pairs):
        if ours != theirs:
            print_note(f"the network's class {label} is {ours}, the data's is {theirs}")


def note_absent(matrix: np.ndarray, dataset: Dataset) -> None:
    """Say which classes have no labelled pixel, and what that does to the mean."""
    import numpy as np

    labelled, predicted = matrix.sum(axis=1) > 0, matrix.sum(axis=0) > 0
    absent = [dataset.names[label] for label in np.flatnonzero(~labelled & ~predicted)]
    if absent:
        print_note(f"neither labelled nor predicted, and left out of the mean IoU: {', '.join(absent)}")
    wrong = [dataset.names[label] for label in np.flatnonzero(~labelled & predicted)]
    if wrong:
        print_note(f"predicted, but labelled nowhere, with an IoU of 0 in the mean: {', '.join(wrong)}")


def confusion(
    infer: Infer, dataset: Dataset, protocol: Protocol, config: DANetConfig, limit: int | None
) -> tuple[np.ndarray, int]:
    """The confusion matrix, with progress, and how many pictures it is of."""
    from danet_common.evaluation import evaluate as evaluated
    from danet_common.evaluation.metrics import scores

    count = len(dataset) if limit is None else min(limit, len(dataset))
    with progress(count) as step:
        step(f"{count} pictures")
        matrix = evaluated(
            infer,
            dataset,
            protocol,
            config,
            limit=limit,
            report=lambda name, so_far: step(f"mIoU {scores(so_far).mean_iou:.2%}  {name}"),
        )
    return matrix, count


def draw(matrix: np.ndarray, dataset: Dataset, count: int, mean_iou: float, out: Path) -> Path:
    """Write the confusion matrix as a picture."""
    from danet_cli.evaluate.confusion import draw_confusion

    out.mkdir(parents=True, exist_ok=True)
    path = out / CONFUSION
    part = "" if count == len(dataset) else f", the first {count} of {len(dataset)} pictures"
    draw_confusion(matrix, dataset.names, f"{dataset.title}{part}: mean IoU {mean_iou:.2%}", path)
    return path


def print_figures(answer: dict[str, Any]) -> None:
    """The figures for people."""
    from rich.table import Table

    from danet_cli.console import console, print_facts

    table = Table(title=None, box=None, padding=(0, 2, 0, 0))
    table.add_column("class", no_wrap=True)
    table.add_column("IoU", justify="right")
    table.add_column("accuracy", justify="right")
    for name, iou in answer["iou"].items():
        table.add_row(name, percent(iou), percent(answer["accuracy"][name]))
    console().print(table)
    data = answer["data"]
    speed = f"{answer['seconds']:.1f} s, {answer['images_per_second']:.2f} a second"
    facts = {
        "mean IoU": f"{percent(answer['mean_iou'])}   over classes that are labelled or predicted",
        "pixel accuracy": f"{percent(answer['pixel_accuracy'])}   over {answer['pixels']:,} labelled pixels",
        "mean accuracy": f"{percent(answer['mean_accuracy'])}   over classes that are labelled",
        "pictures": f"{data['images']} of {data['spec']} {data['split']} in {speed}",
        "protocol": protocol_in_words(answer["protocol"]),
    }
    if "picture" in answer:
        facts["picture"] = answer["picture"]
    print_facts("", facts)


def protocol_in_words(done: dict[str, Any]) -> str:
    """The name, and what the options changed in what it stands for: whole, flip=true window=96x96 stride=64x64."""
    from danet_common.evaluation import PROTOCOLS

    named = PROTOCOLS[done["name"]].to_dict()
    changed = {field: value for field, value in done.items() if value != named.get(field, value)}
    changes = [f"{field}={value_in_words(field, value)}" for field, value in changed.items()]
    return " ".join([done["name"] + "," * bool(changes), *changes])


def value_in_words(field: str, value: Any) -> str:
    """As the option of that name takes it."""
    if isinstance(value, list):
        return ("," if field == "scales" else "x").join(f"{item:g}" for item in value)
    return str(value).lower()


def percent(value: float | None) -> str:
    """Of a class that has no figure, a dash."""
    return "-" if value is None else f"{100 * value:.2f}"
