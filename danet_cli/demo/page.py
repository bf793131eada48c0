"""Write the demo's page: one HTML file that contains its tables and pictures."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from danet_cli.environment import versions
from danet_cli.evaluate.report import percent
from danet_common.files.atomic import atomic_file
from danet_common.files.regular_file import IMAGE, REPORT, read_regular

PAGE = "index.html"


def write_page(
    out: Path, commands: list[dict[str, Any]], reports: dict[str, dict[str, Any]], equal: bool, authors: dict[str, Any]
) -> Path:
    """Write index.html into the demo's folder, and return its path.

    commands  title, line, code and seconds of each command
    reports   backend -> report of `danet eval`
    equal     True if the mean IoUs are equal
    authors   report on the checkpoint in the authors' layout
    """
    environment = Environment(
        loader=PackageLoader("danet_cli"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"percent": percent, "picture": picture}
    check = json.loads(read_regular(out / "check.json", REPORT))
    text = environment.get_template("page.html").render(
        commands=commands,
        reports=reports,
        equal=equal,
        authors=authors,
        curves=out / "run" / "curves.png",
        confusion=out / "confusion.png",
        predicted=sorted((out / "predicted").glob("*_side_by_side.png")),
        checked=check["checkpoints"],
        parity=worst_taps(check["checkpoints"][0]),
        versions=versions(),
    )
    page = out / PAGE
    with atomic_file(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def worst_taps(checkpoint: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return backend -> relative difference from the reference of each output, and of the worst tap."""
    differences = {}
    for backend, report in checkpoint["backends"].items():
        relative = {entry["name"]: entry["relative"] for entry in report["differences"]}
        outputs = {name: relative[name] for name in ("fused", "position", "channel", "aux") if name in relative}
        differences[backend] = {**outputs, "worst tap": max(relative.values())}
    return differences


def picture(path: Path | str) -> Markup:
    """Return a PNG as a data URL."""
    return Markup("data:image/png;base64," + base64.b64encode(read_regular(path, IMAGE)).decode())
