"""A plot of a run: losses, learning rate and mean IoU over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from danet_common.files.atomic import atomic_file

COLOURS = {"torch": "#d9480f", "tf": "#c99700", "jax": "#1864ab"}
STYLES = ("-", "--", ":", "-.", (0, (1, 4)))  # of the loss and of each output's

Records = Sequence[Mapping[str, Any]]


def draw_curves(records: Records, path: Path) -> None:
    """Write the plot of a metrics file's lines as PNG, atomically; colours tell the backends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 8), layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, quality = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
    trained = [record for record in records if "losses" in record]
    validated = [record for record in records if "mean_iou" in record]
    for index, name in enumerate(trained[0]["losses"] if trained else ()):
        style = STYLES[index]
        _draw_line(loss, trained, lambda record, name=name: record["losses"][name], linestyle=style)
        loss.plot([], [], color="black", linestyle=style, label=name)
    _draw_line(rate, trained, lambda record: record["learning_rate"])
    _draw_line(quality, validated, lambda record: record["mean_iou"], marker=".")
    for backend in dict.fromkeys(record["backend"] for record in records):
        quality.plot([], [], color=COLOURS[backend], label=backend)
    loss.set_ylabel("loss")
    rate.set_ylabel("learning rate")
    quality.set_ylabel("mean IoU")
    quality.set_xlabel("step")
    quality.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    quality.set_ylim(0, 1)
    for axes in (loss, quality):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
    for axes in (loss, rate, quality):
        axes.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_line(axes: Any, records: Records, value: Any, **appearance: Any) -> None:
    """Draw a curve, in pieces by backend; each piece begins where the piece before it ends."""
    before: list[Mapping[str, Any]] = []
    for backend, piece in groupby(records, key=lambda record: record["backend"]):
        points = [*before, *piece]
        steps = [record["step"] for record in points]
        single = {"marker": "."} if len(points) == 1 else {}  # a line of 1 point is invisible
        axes.plot(steps, [value(record) for record in points], color=COLOURS[backend], **{**appearance, **single})
        before = points[-1:]
