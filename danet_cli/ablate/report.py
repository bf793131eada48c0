"""Report an ablation: a table for people, as JSON and as Markdown, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from danet_cli.ablate.runs import Row
from danet_cli.console import print_line, print_table
from danet_cli.contexts import name_of
from danet_cli.environment import processor, versions
from danet_cli.output_paths import own_image, own_report, own_text, software, write_report
from danet_common.files.atomic import Judge, atomic_file

COLUMNS = ("network", "context", "mIoU", "pixel accuracy", "parameters", "seconds")

REPORTS: Mapping[str, Judge] = {  # file -> the function that raises for a file that must stay
    "ablation.json": own_report("ablate", ("data", "steps", "rows")),
    "ablation.md": own_text("ablate", f"| {' | '.join(COLUMNS)} |"),
    "ablation.png": own_image("ablate"),
}


def write_reports(out: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Write the files of REPORTS for the finished rows; return the content of ablation.json."""
    plan = rows[0].plan
    report = {
        "data": {"spec": plan.data, "split": plan.split, "val": plan.val, "val_split": plan.val_split},
        "steps": plan.recipe.steps,
        "batch_size": plan.recipe.batch_size,
        "crop": list(plan.augmentation.crop),
        "seed": plan.recipe.seed,
        "processor": processor(),
        "versions": versions(),
        "rows": [row.to_dict() for row in rows],
    }
    write_report(out / "ablation.json", report, REPORTS["ablation.json"])
    with atomic_file(out / "ablation.md", REPORTS["ablation.md"]) as temporary:
        temporary.write_text(markdown(report), encoding="utf-8")
    draw(report, out / "ablation.png")
    return report


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return a row of the table."""
    shares = (f"{100 * row[name]:.2f}" for name in ("mean_iou", "pixel_accuracy"))
    return row["network"], name_of(row["context"]), *shares, f"{row['parameters']:,}", f"{row['seconds']:.1f}"


def conditions(report: dict[str, Any]) -> str:
    """Return the data, recipe and seed that all rows share."""
    data, crop = report["data"], report["crop"]
    recipe = f"{report['steps']} steps of {report['batch_size']} crops of {crop[0]}x{crop[1]}, seed {report['seed']}"
    return f"{data['spec']} {data['split']}, {recipe}; validated with {data['val']} {data['val_split']}, in per cent"


def markdown(report: dict[str, Any]) -> str:
    """Return the table for a document, with the processor and the package versions."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * (len(COLUMNS) - 2)]
    lines += [f"| {' | '.join(cells(row))} |" for row in report["rows"]]
    packages = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return "\n".join([*lines, "", f"{conditions(report)}.", "", f"{report['processor']}; {packages}."]) + "\n"


def print_report(out: Path, report: dict[str, Any]) -> None:
    """Print the table for people, and the names of the files."""
    print_table(COLUMNS, map(cells, report["rows"]), text_columns=2)
    print_line()
    print_line(conditions(report))
    print_line(f"{out}: {'  '.join(REPORTS)}")


def draw(report: dict[str, Any], path: Path) -> None:
    """Write a PNG: a bar of the final mean IoU for each row, and the mean IoU of each row by step."""
    rows = report["rows"]
    is_one_network = len({row["network"] for row in rows}) == 1
    names = [name_of(row["context"]) if is_one_network else " ".join(cells(row)[:2]) for row in rows]
    colours = [matplotlib.colormaps["tab20"](index % 20) for index in range(len(rows))]
    figure = Figure(figsize=(12, max(3.5, 0.42 * len(rows) + 1.2)), layout="constrained")
    bars, curves = figure.subplots(1, 2)
    drawn = bars.barh(range(len(rows)), [100 * row["mean_iou"] for row in rows], color=colours)
    bars.bar_label(drawn, fmt="%.1f", padding=3, fontsize=8)
    bars.set_yticks(range(len(rows)), names, fontsize=8)
    bars.invert_yaxis()
    bars.set_xlim(0, 100)
    bars.set_xlabel("mean IoU after the last step, per cent")
    for row, name, colour in zip(rows, names, colours, strict=True):
        steps, quality = zip(*row["course"], strict=True)
        curves.plot(steps, [100 * value for value in quality], color=colour, marker=".", label=name)
    curves.set_xlabel("step")
    curves.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    curves.set_ylabel("mean IoU, per cent")
    curves.grid(alpha=0.3)
    figure.suptitle(conditions(report), fontsize=9)
    with atomic_file(path, REPORTS["ablation.png"]) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": software("ablate")})
