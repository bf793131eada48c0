"""`--max-pixels`, the same in every command that reads pictures."""

from __future__ import annotations

import os
from typing import Annotated

import typer

MaxPixels = Annotated[
    int | None,
    typer.Option("--max-pixels", min=1, metavar="N", help="Refuse pictures of more pixels. [default: 67108864]"),
]


def limit_pixels(max_pixels: int | None) -> None:
    """Set the limit for this process and its children: the ones that read pictures for training, too."""
    if max_pixels is not None:
        os.environ["DANET_MAX_PIXELS"] = str(max_pixels)
