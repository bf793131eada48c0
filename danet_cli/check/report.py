"""Results of checks as tables: a row for each tap, a column for each backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from danet_cli.console import console, escape, print_line

if TYPE_CHECKING:
    from shared_tests.parity.check import CheckResult
    from shared_tests.parity.compare import ComparisonReport, Difference

TAP_WIDTH = 29  # of the tap's name and what is allowed
COLUMN_WIDTH = 26  # of one backend's three numbers, with a mark where they are too large


def print_result(result: CheckResult) -> None:
    """One checkpoint: its table, or whose table stands for it, and every mismatch in words."""
    out = console()
    if result.same_as is not None:
        equal = f": the same tensors and config as {escape(result.same_as)}"
        out.print(_word(result.agrees), Text.assemble((escape(result.path), "bold"), equal), soft_wrap=True)
        return
    columns = {name: run.report for name, run in result.runs.items()}
    if result.as_first is not None:
        columns["as the first"] = result.as_first
    for part in fitting(columns, out.width):
        out.print(stage_table(result.path, part))
    for name, run in result.runs.items():
        share = f"{run.differing} of {run.pixels} pixels are classed unlike the reference's"
        where = f"{run.flags.get('device', 'unknown device')}, precision {run.flags.get('precision', 'unknown')}"
        out.print(_word(run.report.agrees), f"{name} ({where}): {share}, {run.seconds:.1f} s", soft_wrap=True)
        _print_causes(run.report)
    if result.as_first is not None:
        out.print(_word(result.as_first.agrees), "as the first checkpoint", soft_wrap=True)
        _print_causes(result.as_first)
        _print_changes(result)
    out.print()


def fitting(columns: dict[str, ComparisonReport], width: int) -> list[dict[str, ComparisonReport]]:
    """The columns of one table, or of as many as a console of this width needs."""
    count = max(1, (width - TAP_WIDTH) // COLUMN_WIDTH)
    items = list(columns.items())
    return [dict(items[start : start + count]) for start in range(0, len(items), count)]


def stage_table(title: str, columns: dict[str, ComparisonReport]) -> Table:
    """Stages down, reports across: absolute and relative difference, and units in the last place."""
    table = Table(title=Text(escape(title), style="bold"), title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("tap", no_wrap=True)
    for name in columns:
        table.add_column(Text(f"{escape(name)}\nabs     relative   ULP"), justify="right", no_wrap=True)
    table.add_column(Text("\nallowed"), justify="right", no_wrap=True)
    rows: dict[str, dict[str, Difference]] = {}
    for name, report in columns.items():
        for difference in report.differences:
            rows.setdefault(difference.name, {})[name] = difference
    for tap, differences in rows.items():
        cells = [_cell(differences.get(name)) for name in columns]
        allowed = next(iter(differences.values())).tolerance
        table.add_row(tap, *cells, f"{allowed:.1e}")
    return table


def _cell(difference: Difference | None) -> Text:
    if difference is None:
        return Text("")
    if difference.max_abs is None or difference.relative is None:
        return Text(f"{difference.fault} !", style="red")
    ulp = "-" if difference.max_ulp is None else compact(difference.max_ulp)
    text = f"{difference.max_abs:.1e} {difference.relative:.1e} {ulp:>5}"
    return Text(text) if difference.agrees else Text(f"{text} !", style="red")


def compact(count: int) -> str:
    """A count in at most five characters."""
    return str(count) if count < 100_000 else f"{count:.0e}".replace("e+0", "e").replace("e+", "e")


def _print_causes(report: ComparisonReport) -> None:
    for cause in report.causes:
        print_line(f"  mismatch at {cause.tap}: {cause.text}")


def _print_changes(result: CheckResult) -> None:
    if not result.changed:
        return
    named, more = result.changed[:5], len(result.changed) - 5
    rest = f" and {more} more" if more > 0 else ""
    print_line(f"  unlike the first: {', '.join(named)}{rest}")


def _word(agrees: bool) -> Text:
    return Text("PASS", "green") if agrees else Text("FAIL", "red")
