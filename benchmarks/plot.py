"""Plot a result: `python benchmarks/plot.py RESULT.json` writes RESULT.png.

Time and memory against the number of positions, with a line for each candidate.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def draw(result: dict[str, Any], path: Path) -> None:
    """Write a PNG with a column for each batch, mode and dtype: time above, memory below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in result["rows"] if "error" not in row]
    kinds = sorted({(row["batch"], row["mode"], row["dtype"]) for row in rows})
    figure, axes = pyplot.subplots(2, len(kinds), figsize=(1 + 4 * len(kinds), 7), squeeze=False, layout="constrained")
    for (upper, lower), kind in zip(axes.T, kinds, strict=True):
        lines: dict[str, list[dict[str, Any]]] = {}
        for row in sorted(rows, key=positions):
            if (row["batch"], row["mode"], row["dtype"]) == kind:
                lines.setdefault(row["candidate"], []).append(row)
        for candidate, points in lines.items():
            n = [positions(row) for row in points]
            upper.plot(n, [row["seconds"] for row in points], marker="o", label=candidate)
            lower.plot(n, [row["bytes"] / (1 << 30) for row in points], marker="o", label=candidate)
        for axis, label in ((upper, "seconds"), (lower, "peak memory, GiB")):
            axis.set(xscale="log", yscale="log", xlabel="positions N of a picture (output stride 8)", ylabel=label)
            axis.grid(True, which="both", alpha=0.3)
        upper.set_title(f"{kind[1]}, batch {kind[0]}, {kind[2]}")
        upper.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def positions(row: dict[str, Any]) -> int:
    """Return the number of positions: the rows of the attention map."""
    return -(-row["height"] // 8) * -(-row["width"] // 8)


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(__doc__)
        raise SystemExit
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[1]).with_suffix(".png"))
