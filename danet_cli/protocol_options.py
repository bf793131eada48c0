"""The options that bring a picture to a size before the network sees it; in `eval` and `predict` alike."""

from __future__ import annotations

from typing import Annotated

import typer

LARGEST_SIDE = 16384  # pixels

LongSide = Annotated[
    int | None,
    typer.Option(min=1, max=LARGEST_SIDE, metavar="N", help="Bring the longer side to N pixels; the shape is kept."),
]
ShortSide = Annotated[
    int | None,
    typer.Option(
        min=1, max=LARGEST_SIDE, metavar="N", help="Bring the shorter side to N pixels; with --long-side, fit in both."
    ),
]
