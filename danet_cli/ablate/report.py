"""What an ablation has found: a table for people, as JSON and as Markdown, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from danet_cli.ablate.runs import Row
from danet_cli.console import console, print_line
from danet_cli.contexts import name_of
from danet_cli.environment import processor, versions
from danet_cli.output_paths import write_report
from danet_cli.own_files import own_picture, own_report, own_text, software
from danet_common.files.atomic import Judge, atomic_file

COLUMNS = ("network", "context", "mIoU", "pixel accuracy", "parameters", "seconds")

REPORTS: Mapping[str, Judge] = {  # what is written, and what of that name is replaced
    "ablation.json": own_report("ablate", ("data", "steps", "rows")),
    "ablation.md": own_text("ablate", f"| {' | '.join(COLUMNS)} |"),
    "ablation.png": own_picture("ablate"),
}


def write_reports(out: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Write ablation.json, .md and .png of the finished rows into the folder; what the first holds."""
    plan = rows[0].plan
    answer = {
        "data": {"spec": plan.data, "split": plan.split, "val": plan.val, "val_split": plan.val_split},
        "steps": plan.recipe.steps,
        "batch_size": plan.recipe.batch_size,
        "crop": list(plan.augmentation.crop),
        "seed": plan.recipe.seed,
        "processor": processor(),
        "versions": versions(),
        "rows": [row.to_dict() for row in rows],
    }
    write_report(out / "ablation.json", answer, REPORTS["ablation.json"])
    with atomic_file(out / "ablation.md", REPORTS["ablation.md"]) as temporary:
        temporary.write_text(markdown(answer), encoding="utf-8")
    draw(answer, out / "ablation.png")
    return answer


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table."""
    shares = (f"{100 * row[name]:.2f}" for name in ("mean_iou", "pixel_accuracy"))
    return row["network"], name_of(row["context"]), *shares, f"{row['parameters']:,}", f"{row['seconds']:.1f}"


def terms(answer: dict[str, Any]) -> str:
    """What all rows have in common."""
    data, crop = answer["data"], answer["crop"]
    learned = f"{answer['steps']} steps of {answer['batch_size']} crops of {crop[0]}x{crop[1]}, seed {answer['seed']}"
    return f"{data['spec']} {data['split']}, {learned}; judged with {data['val']} {data['val_split']}, in per cent"


def markdown(answer: dict[str, Any]) -> str:
    """The table for a document, with what it was measured on."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * (len(COLUMNS) - 2)]
    lines += [f"| {' | '.join(cells(row))} |" for row in answer["rows"]]
    used = ", ".join(f"{name} {version}" for name, version in answer["versions"].items())
    return "\n".join([*lines, "", f"{terms(answer)}.", "", f"{answer['processor']}; {used}."]) + "\n"


def print_table(out: Path, answer: dict[str, Any]) -> None:
    """The table for people, and where the files are."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in COLUMNS:
        table.add_column(column, no_wrap=True, justify="left" if column in ("network", "context") else "right")
    for row in answer["rows"]:
        table.add_row(*cells(row))
    console().print(table)
    print_line()
    print_line(terms(answer))
    print_line(f"{out}: ablation.json  ablation.md  ablation.png")


def draw(answer: dict[str, Any], path: Path) -> None:
    """Write a PNG: a bar of the mean IoU after the last step for each row, and the way that each came there."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = answer["rows"]
    several = len({row["network"] for row in rows}) > 1
    names = [f"{row['network']} {name_of(row['context'])}" if several else name_of(row["context"]) for row in rows]
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
    figure.suptitle(terms(answer), fontsize=9)
    with atomic_file(path, REPORTS["ablation.png"]) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": software("ablate")})
