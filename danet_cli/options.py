"""Command-line options that several commands share: one name, one help text and one type for each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from danet_cli.backend import BackendName

LARGEST_SIDE = 16384  # pixels


def limit_pixels(count: int | None) -> int | None:
    """Set the limit for this process and for the child processes that read training images."""
    if count is not None:
        os.environ["DANET_MAX_PIXELS"] = str(count)
    return count


Backend = Annotated[BackendName, typer.Option(help="Framework that computes.")]
Weights = Annotated[Path, typer.Option(metavar="CKPT", help="Checkpoint of any format.")]
WeightsKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Weights to take from a file with several, such as ema; see danet inspect."),
]
FromSchema = Annotated[
    str | None, typer.Option("--from", metavar="SCHEMA", show_default="detected", help="Schema of the source.")
]
Context = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND,...", show_default="all of the ablation", help="Row: none, or context modules; repeatable."
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", callback=limit_pixels, show_default="67108864", help="Refuse images of more pixels."
    ),
]

Protocol = Annotated[
    str, typer.Option(metavar="NAME", help="Protocol: auto, whole, official, mmseg, ...; see docs/evaluation.md.")
]
Window = Annotated[str | None, typer.Option(metavar="HxW", help="Slide a window of this size over larger images.")]
LongSide = Annotated[
    int | None,
    typer.Option(min=1, max=LARGEST_SIDE, metavar="N", help="Resize the longer side to N pixels; keep the shape."),
]
ShortSide = Annotated[
    int | None,
    typer.Option(
        min=1, max=LARGEST_SIDE, metavar="N", help="Resize the shorter side to N pixels; with --long-side, fit both."
    ),
]

TrainSplit = Annotated[str | None, typer.Option(metavar="NAME", show_default="train", help="Training split.")]
Val = Annotated[
    str | None, typer.Option(metavar="SPEC", show_default="that of --data", help="Validation data set, or none.")
]
ValSplit = Annotated[str | None, typer.Option(metavar="NAME", show_default="val", help="Validation split.")]
ValidateEvery = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", show_default="5% of all steps", help="Steps between two validations."),
]
RecipeName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Published recipe with its network, such as official-cityscapes."),
]
Backbone = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Trained backbone to start from: torchvision's, timm's, mmseg's or PaddleSeg's."),
]
TrainSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Set a field of network, recipe, augmentation or labels; repeatable."
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON report.")]
JsonFile = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write a JSON report; - is standard output.")
]
