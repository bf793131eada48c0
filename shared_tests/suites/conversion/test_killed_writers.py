"""Writers that are killed lose nothing and leave nothing, and several at once leave one whole result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from shared_tests.suites.conversion.writers import WRITERS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and locks are POSIX's")
QUICK = ("set", "hub either")
KILLS, CROWDS = 10, 6  # of each writer: more than 100 kills


def report(mode: str, rounds: int, *names: str) -> dict[str, Any]:
    """Run `shared_tests.suites.conversion.killed_writers` and return its report."""
    command = [sys.executable, "-m", "shared_tests.suites.conversion.killed_writers", mode, str(rounds), *names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_few_kills() -> None:
    actual = report("kill", 2, *QUICK)
    assert actual["errors"] == []


def test_a_few_at_once() -> None:
    assert report("together", 2, *QUICK)["errors"] == []


@pytest.mark.slow
def test_many_kills() -> None:
    actual = report("kill", KILLS)
    assert actual["errors"] == []
    assert actual["killed"] > len(WRITERS) * KILLS / 3  # the others were done before


@pytest.mark.slow
def test_many_at_once() -> None:
    assert report("together", CROWDS)["errors"] == []
