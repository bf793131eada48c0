"""The demo's page: one HTML file with its curves, tables and pictures in it, to be opened or sent anywhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from danet_cli.evaluate.report import percent
from danet_cli.environment import versions
from danet_cli.output_paths import own_text
from danet_common.files.atomic import atomic_file
from danet_common.files.regular_file import IMAGE, REPORT, read_regular

PAGE = "index.html"
OWN_PAGE = own_text("demo", '<meta name="generator" content="danet demo">')


def write_page(
    out: Path, told: list[dict[str, Any]], reports: dict[str, dict[str, Any]], equal: bool, authors: dict[str, Any]
) -> Path:
    """Write index.html into the demo's folder, and return its path.

    told     the commands: title, line, code, seconds
    reports  backend -> what `danet eval` found
    equal    whether their mean IoUs are
    authors  the report on the checkpoint in the authors' layout
    """
    environment = Environment(
        loader=PackageLoader("danet_cli"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"percent": percent, "picture": picture}
    check = json.loads(read_regular(out / "check.json", REPORT))
    text = environment.get_template("page.html").render(
        told=told,
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
    with atomic_file(page, OWN_PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def worst_taps(checkpoint: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Backend -> the relative difference of each output, and of the worst tap, from the float64 reference."""
    outputs = ("fused", "position", "channel", "aux")
    found = {}
    for backend, report in checkpoint["backends"].items():
        relative = {entry["name"]: entry["relative"] for entry in report["differences"]}
        chosen = {name: value for name, value in relative.items() if name in outputs}
        found[backend] = {**chosen, "worst tap": max(relative.values())}
    return found


def picture(path: Path | str) -> Markup:
    """A PNG as an address that holds it."""
    return Markup("data:image/png;base64," + base64.b64encode(read_regular(path, IMAGE)).decode())
