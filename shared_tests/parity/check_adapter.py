"""Check an implementation by its adapter: every case, and a table of the results.

    python -m shared_tests.parity.check_adapter ADAPTER.py                           every case
    python -m shared_tests.parity.check_adapter ADAPTER.py --cases tiny,bottleneck   only these
    python -m shared_tests.parity.check_adapter ADAPTER.py --taps none             only outputs, without named taps

Ends with 0 if all agrees, 1 if something does not, 2 if a case could not be checked. docs/judging.md says how to
write an adapter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from danet_common.checkpoint import Checkpoint, write_checkpoint
from danet_common.config import DANetConfig
from danet_common.files.unfinished import temporary_folder
from danet_common.numerics.taps import tap_names
from shared_tests.fixtures.cases import CASES
from shared_tests.fixtures.synthetic import synthetic_tensors
from shared_tests.parity.check import find_backends
from shared_tests.parity.check_case import check_case
from shared_tests.parity.compare import ComparisonReport
from shared_tests.workers.backends import BackendError, Worker

DEEP = ("r34", "r101", "r152")  # what r18 and r50 are, with more blocks; checked when named
ORDINARY = [name for name in CASES if name not in DEEP]

Outcome = ComparisonReport | BackendError  # the error of a case that could not be checked


def check_adapter(adapter: str, names: Sequence[str], taps: Collection[str] | None = None) -> dict[str, Outcome]:
    """The outcome of each named case. `adapter` is the path of a Python file or a backend's name.

    Raises BackendError where there is no such adapter.
    """
    (backend,) = find_backends([adapter])
    outcomes: dict[str, Outcome] = {}
    with temporary_folder() as folder, Worker(backend) as worker:

        def checkpoint_of(config: DANetConfig) -> str:
            path = folder / "rule.safetensors"
            write_checkpoint(Checkpoint(config, synthetic_tensors(config)), path)
            return str(path)

        for name in track(names, "checking", console=Console(stderr=True), transient=True):
            try:
                outcomes[name] = check_case(CASES[name], worker, checkpoint_of, taps=taps)
            except BackendError as error:
                outcomes[name] = error
    return outcomes


def table_of(outcomes: dict[str, Outcome]) -> Table:
    """One row for each case: PASS, FAIL with where and why, or ERROR with the adapter's own words."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("case", "", "first mismatch", "relative"):
        table.add_column(heading, no_wrap=True)
    table.add_column("likely cause")
    above = None
    for name, outcome in outcomes.items():
        if isinstance(outcome, BackendError):
            table.add_row(name, "[yellow]ERROR[/]", "", "", escape(str(outcome)))
        elif outcome.agrees:
            worst = max(difference.relative or 0.0 for difference in outcome.differences)
            table.add_row(name, "[green]PASS[/]", "", f"{worst:.1e}", "")
        else:
            first = next(difference for difference in outcome.differences if not difference.agrees)
            size = first.fault or f"{first.relative:.1e}"
            cause = escape(outcome.cause or "")
            table.add_row(name, "[red]FAIL[/]", first.name, size, "the same" if cause == above else cause)
            above = cause
    return table


def exit_code(outcomes: Collection[Outcome]) -> int:
    """0 all agree, 1 some do not, 2 some could not be checked."""
    if any(isinstance(outcome, BackendError) for outcome in outcomes):
        return 2
    return 0 if all(outcome.agrees for outcome in outcomes if isinstance(outcome, ComparisonReport)) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the adapter that the command line names, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m shared_tests.parity.check_adapter", description="Check a DANet.")
    parser.add_argument(
        "adapter", help="a Python file with `run(request) -> Response`, or torch, tf, jax, keras_jax or keras_torch"
    )
    parser.add_argument("--cases", metavar="NAMES", help=f"of {', '.join(CASES)}; all but {', '.join(DEEP)} if absent")
    parser.add_argument("--taps", metavar="NAMES", help="taps that the adapter has, or none; all if absent")
    options = parser.parse_args(arguments)
    names = options.cases.split(",") if options.cases else ORDINARY
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    taps = options.taps.split(",") if options.taps else None
    known = dict.fromkeys(tap for case in CASES.values() for tap in tap_names(case.config))
    strange = [tap for tap in taps or () if tap not in known and taps != ["none"]]
    if strange:
        parser.error(f"no such tap: {', '.join(strange)}; there are none, {', '.join(known)}")
    try:
        outcomes = check_adapter(options.adapter, names, taps)
    except BackendError as error:
        parser.error(str(error))
    Console(width=None if sys.stdout.isatty() else 120).print(table_of(outcomes))
    passed = sum(isinstance(outcome, ComparisonReport) and outcome.agrees for outcome in outcomes.values())
    print(f"{passed} of {len(outcomes)} cases agree with the float64 reference")
    return exit_code(outcomes.values())


if __name__ == "__main__":
    sys.exit(main())
