"""Read mutated files of every format, many of them: `python -m shared_tests.fuzzing.fuzz`, or `make fuzz`.

Each input is made from its number alone, so a finding is replayed by it: `--replay NUMBER`. An input must be
read, or refused with a CheckpointError of one clear line, within bounds of time and memory; anything else, a
crash of the process included, is a finding. Exit codes: 0 none, 1 some.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared_tests.fuzzing.inputs import load_seeds, make_input, place
from shared_tests.fuzzing.reader import read_input
from shared_tests.malicious.seeds import SEEDS, write_seeds

LISTED = 25  # kinds of errors
MEMORY_FOLDER = Path("/dev/shm")  # of Linux; files there never reach a disk


@dataclass
class Results:
    """Counts of all results."""

    inputs: int = 0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    worst: dict[str, tuple[float, int]] = field(default_factory=dict)
    findings: dict[int, str] = field(default_factory=dict)
    seconds: float = 0

    def add(self, reply: dict[str, Any]) -> None:
        """Count a batch, or note a finding."""
        if "finding" in reply:
            self.findings[reply["finding"]] = f"{reply['seed']}: {reply['fault']}"
            return
        self.inputs += reply["inputs"]
        self.outcomes.update({(name, outcome): count for name, outcome, count in reply["outcomes"]})
        for name, (seconds, held) in reply["worst"].items():
            most = self.worst.get(name, (0.0, 0))
            self.worst[name] = max(most[0], seconds), max(most[1], held)


def fuzz(first: int, count: int, processes: int, limit: float = float("inf")) -> Results:
    """Read `count` inputs from number `first` on, for at most `limit` seconds."""
    results, started = Results(), time.monotonic()
    memory_folder = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="danet-fuzz-", dir=memory_folder) as folder:
        write_seeds(Path(folder) / "seeds")
        lanes = [
            threading.Thread(
                target=run_lane, args=(Path(folder), first + lane, first + count, processes, results, started + limit)
            )
            for lane in range(processes)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
    results.seconds = time.monotonic() - started
    return results


def run_lane(folder: Path, first: int, last: int, step: int, results: Results, until: float) -> None:
    """Every `step`-th input, in a process that is started again where an input ends it."""
    at = folder / f"at {first % step}"
    while first < last and time.monotonic() < until:
        command = [sys.executable, "-m", "shared_tests.fuzzing.reader", str(folder), str(first), str(last), str(step)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            clock = threading.Timer(min(until - time.monotonic(), threading.TIMEOUT_MAX), process.kill)
            clock.start()
            assert process.stdout is not None
            for line in process.stdout:
                results.add(json.loads(line))
            clock.cancel()
        if process.returncode == 0 or time.monotonic() >= until:
            return
        number = int(at.read_text()) if at.exists() else first
        results.findings[number] = f"the process ended with {process.returncode}"
        first = number + step


def replay(number: int) -> None:
    """Read one input here, and leave its files."""
    folder = Path(tempfile.mkdtemp(prefix=f"danet-fuzz-{number}-"))
    write_seeds(folder / "seeds")
    seeds = load_seeds({name: folder / "seeds" / name.replace(".", "_") / name for name in SEEDS})
    seed, files = make_input(number, seeds)
    place(files, folder / "input")
    print(f"{seed.name}, changed: {folder / 'input' / seed.source}")
    name, outcome, seconds, held, fault = read_input(number, seeds, folder / "read")
    print(f"{name}: {outcome}, {seconds:.3f} s, {held >> 10} KiB", fault, sep="\n")


def print_results(results: Results) -> None:
    """Counts for each reader, kinds of errors, findings."""
    print(f"{'seed':34}{'inputs':>8}{'read':>8}{'refused':>9}{'s':>8}{'MiB':>7}")
    for name, (seconds, held) in sorted(results.worst.items()):
        mine = {outcome: count for (seed, outcome), count in results.outcomes.items() if seed == name}
        sound = mine.get("read", 0) + mine.get("inspected", 0)
        refused = sum(count for outcome, count in mine.items() if outcome.startswith("refused"))
        print(f"{name:34}{sum(mine.values()):8}{sound:8}{refused:9}{seconds:8.2f}{held / (1 << 20):7.0f}")
    kinds: Counter[str] = Counter()
    for (_, outcome), count in results.outcomes.items():
        kinds[outcome] += count
    for outcome, count in kinds.most_common(LISTED):
        print(f"{count:8}  {outcome}")
    print(f"{results.inputs} inputs in {results.seconds:.0f} s, {len(results.findings)} findings")
    for number, fault in sorted(results.findings.items()):
        print(f"--replay {number}: {fault}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=120_000, help="inputs to read")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which no more are read")
    parser.add_argument("--replay", type=int, help="read this input alone")
    options = parser.parse_args()
    if options.replay is not None:
        replay(options.replay)
        return
    results = fuzz(options.first, options.count, options.processes, options.limit)
    print_results(results)
    sys.exit(1 if results.findings or results.inputs < options.count else 0)


if __name__ == "__main__":
    main()
