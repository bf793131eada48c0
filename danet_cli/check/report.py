"""Print the results of a check: a table with a row for each tap and a column for each backend."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from danet_cli.console import console, escape, print_line
from danet_cli.output_paths import own_report
from shared_tests.parity.check import CheckResult
from shared_tests.parity.compare import ComparisonReport, Difference

REPORT = own_report("check", ("agrees", "profile", "checkpoints"))
TAP_WIDTH = 29  # characters of a tap's name and its tolerance
COLUMN_WIDTH = 26  # characters of a backend's three numbers, with a mark where they are too large
NAMED = 5  # changed tensors that a line names


def print_result(result: CheckResult) -> None:
    """Print a checkpoint's table, or the equal checkpoint before it, and every mismatch."""
    out = console()
    if result.same_as is not None:
        equal = f": the same tensors and config as {escape(result.same_as)}"
        out.print(_mark(result.agrees), Text.assemble((escape(result.path), "bold"), equal), soft_wrap=True)
        return
    columns = {name: run.report for name, run in result.runs.items()}
    if result.as_first is not None:
        columns["as the first"] = result.as_first
    count = max(1, (out.width - TAP_WIDTH) // COLUMN_WIDTH)  # columns that fit into the width
    names = list(columns)
    for start in range(0, len(names), count):
        out.print(tap_table(result.path, {name: columns[name] for name in names[start : start + count]}))
    for name, run in result.runs.items():
        share = f"{run.differing} of {run.pixels} pixels differ in class from the reference"
        device = f"{run.flags.get('device', 'unknown device')}, precision {run.flags.get('precision', 'unknown')}"
        out.print(_mark(run.report.agrees), f"{name} ({device}): {share}, {run.seconds:.1f} s", soft_wrap=True)
        _print_causes(run.report)
    if result.as_first is not None:
        out.print(_mark(result.as_first.agrees), "as the first checkpoint", soft_wrap=True)
        _print_causes(result.as_first)
        _print_changes(result)
    out.print()


def tap_table(title: str, columns: dict[str, ComparisonReport]) -> Table:
    """Return a table of taps and reports: absolute difference, relative difference, units in the last place."""
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
        tolerance = next(iter(differences.values())).tolerance
        table.add_row(tap, *cells, f"{tolerance:.1e}")
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
    """Return a count in at most 5 characters."""
    return str(count) if count < 100_000 else f"{count:.0e}".replace("e+0", "e").replace("e+", "e")


def _print_causes(report: ComparisonReport) -> None:
    for cause in report.causes:
        print_line(f"  mismatch at {cause.tap}: {cause.text}")


def _print_changes(result: CheckResult) -> None:
    if result.changed:
        more = len(result.changed) - NAMED
        rest = f" and {more} more" if more > 0 else ""
        print_line(f"  differs from the first in: {', '.join(result.changed[:NAMED])}{rest}")


def _mark(agrees: bool) -> Text:
    return Text("PASS", "green") if agrees else Text("FAIL", "red")
