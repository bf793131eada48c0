"""The option by which a command takes one of several sets of weights of a file."""

from __future__ import annotations

from typing import Annotated

import typer

WeightsKey = Annotated[
    str | None,
    typer.Option(
        "--weights-key",
        metavar="KEY",
        help="Which weights to take of a file with several, such as ema; danet inspect lists them.",
    ),
]
