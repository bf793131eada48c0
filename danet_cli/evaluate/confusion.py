"""Draw a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from danet_cli.output_paths import own_image, software
from danet_common.files.atomic import atomic_file

NUMBERED = 40  # classes, up to which the cells show numbers
LEAST = 0.005  # share; smaller ones are not written, as they round to 0
FONT = 7.0  # points


def draw_confusion(matrix: np.ndarray, names: Sequence[str], title: str, path: Path) -> None:
    """Write a PNG: a row for each true class, normalised to its pixels; the diagonal holds the accuracies.

    Rows of classes without labels are white.
    """
    count = len(names)
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    cell = 0.34 if count <= NUMBERED else 0.14  # inches
    figure = Figure(figsize=(count * cell + 3.5, count * cell + 2.5), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    plain: dict[str, Any] = {"parse_math": False}  # names may contain dollars
    axis.set_xticks(range(count), names, rotation=90, fontsize=FONT, **plain)
    axis.set_yticks(range(count), names, fontsize=FONT, **plain)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    axis.set_title(title, fontsize=9, **plain)
    if count <= NUMBERED:
        for row, column in np.argwhere(shares >= LEAST):
            share = shares[row, column]
            colour = "white" if share > 0.5 else "black"
            axis.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=FONT, color=colour)
    bar = figure.colorbar(image, ax=axis, shrink=0.6)
    bar.set_label("share of the true class's pixels" + (", in the cells per cent" if count <= NUMBERED else ""))
    with atomic_file(path, own_image("eval")) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": software("eval")})
