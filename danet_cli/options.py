"""Command-line options that several commands share: one name, one help text and one type for each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from danet_cli.backend import BackendName, default_backend

LARGEST_SIDE = 16384  # pixels


def limit_pixels(count: int | None) -> int | None:
    """Set the limit for this process and for the child processes that read training images."""
    if count is not None:
        os.environ["DANET_MAX_PIXELS"] = str(count)
    return count


Backend = Annotated[
    BackendName,
    typer.Option(default_factory=default_backend, show_default="the first installed", help="Framework that computes."),
]
Weights = Annotated[Path, typer.Option(metavar="CKPT", help="Checkpoint of any format.")]
WeightsKey = Annotated[str | None, typer.Option(metavar="KEY", help="Weights to take, such as ema; see danet inspect.")]
FromSchema = Annotated[str | None, typer.Option("--from", metavar="SCHEMA", help="Schema, if it is not recognised.")]
Context = Annotated[list[str] | None, typer.Option(metavar="KIND,...", help="Context modules, or none; repeatable.")]
MaxPixels = Annotated[
    int | None, typer.Option(min=1, metavar="N", callback=limit_pixels, help="Refuse images of more than N pixels.")
]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field; repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON report.")]
JsonFile = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write a JSON report; - prints it.")]

# What a network sees of an image.
Protocol = Annotated[str, typer.Option(metavar="NAME", help="auto, whole, official, ...; see docs/evaluation.md.")]
Window = Annotated[str | None, typer.Option(metavar="HxW", help="Slide a window of this size over larger images.")]
Side = typer.Option(min=1, max=LARGEST_SIDE, metavar="N", help="Resize this side to N pixels; with both, fit in both.")
LongSide = Annotated[int | None, Side]
ShortSide = Annotated[int | None, Side]

# A training run.
TrainSplit = Annotated[str | None, typer.Option(metavar="NAME", show_default="train", help="Training split.")]
Val = Annotated[str | None, typer.Option(metavar="SPEC", show_default="--data", help="Validation data, or none.")]
ValSplit = Annotated[str | None, typer.Option(metavar="NAME", show_default="val", help="Validation split.")]
ValidateEvery = Annotated[
    int | None, typer.Option(min=1, metavar="N", show_default="5%", help="Steps between validations.")
]
RecipeName = Annotated[str | None, typer.Option(metavar="NAME", help="Published recipe: official-cityscapes, ...")]
Backbone = Annotated[Path | None, typer.Option(metavar="FILE", help="Trained backbone, in the layout of any project.")]
