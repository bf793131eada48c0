"""Print the results of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from danet_cli.console import print_facts, print_note, print_table
from danet_common.evaluation import PROTOCOLS


def note_absent(matrix: np.ndarray, names: Sequence[str]) -> None:
    """Note the classes without a labelled pixel, and their effect on the mean IoU."""
    classes = [(name, row.any(), column.any()) for name, row, column in zip(names, matrix, matrix.T, strict=True)]
    absent = [name for name, labelled, predicted in classes if not labelled and not predicted]
    if absent:
        print_note(f"neither labelled nor predicted, and left out of the mean IoU: {', '.join(absent)}")
    wrong = [name for name, labelled, predicted in classes if not labelled and predicted]
    if wrong:
        print_note(f"predicted but not labelled, with an IoU of 0 in the mean: {', '.join(wrong)}")


def print_report(report: dict[str, Any]) -> None:
    """Print the results for people."""
    rows = [(name, percent(iou), percent(report["accuracy"][name])) for name, iou in report["iou"].items()]
    print_table(("class", "IoU", "accuracy"), rows, text_columns=1)
    data = report["data"]
    speed = f"{report['seconds']:.1f} s, {report['images_per_second']:.2f} a second"
    facts = {
        "mean IoU": f"{percent(report['mean_iou'])}   over classes that are labelled or predicted",
        "pixel accuracy": f"{percent(report['pixel_accuracy'])}   over {report['pixels']:,} labelled pixels",
        "mean accuracy": f"{percent(report['mean_accuracy'])}   over classes that are labelled",
        "images": f"{data['images']} of {data['spec']} {data['split']} in {speed}",
        "protocol": format_protocol(report["protocol"]),
    }
    if "picture" in report:
        facts["picture"] = report["picture"]
    print_facts("", facts)


def format_protocol(protocol: dict[str, Any]) -> str:
    """Return the name and the options that changed it: whole, flip=true window=96x96 stride=64x64."""
    name = protocol["name"]
    named = PROTOCOLS[name].to_dict()
    changed = {field: value for field, value in protocol.items() if value != named.get(field, value)}
    changes = [f"{field}={format_value(field, value)}" for field, value in changed.items()]
    return " ".join([name + "," * bool(changes), *changes])


def format_value(field: str, value: Any) -> str:
    """Return a value as its option takes it."""
    if isinstance(value, list):
        return ("," if field == "scales" else "x").join(f"{item:g}" for item in value)
    return str(value).lower()


def percent(value: float | None) -> str:
    """Return a share in per cent; a dash for None."""
    return "-" if value is None else f"{100 * value:.2f}"
